package org.tune4j.lora;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;

/**
 * Llama with LoRA and DoRA in double precision with a reverse mode of its own, written from the
 * papers' formulas and sharing nothing with the library: what tests compare whole cases with. One
 * padded sequence at a time, plain loops.
 */
final class ReferenceLlama {
  static final int VOCABULARY = 37;
  static final int HIDDEN = 24;
  static final int INNER = 36;
  static final int HEADS = 4;
  static final int KV_HEADS = 2;
  static final int HEAD = 6;
  static final int LAYERS = 2;
  static final double EPS = 1e-5;
  static final double THETA = 1000;
  static final int END = 1;

  /** A matrix, its gradient, and how to pass that on. */
  static final class Node {
    final int rows;
    final int cols;
    final double[] value;
    final double[] gradient;

    Node(int rows, int cols) {
      this.rows = rows;
      this.cols = cols;
      value = new double[rows * cols];
      gradient = new double[rows * cols];
    }
  }

  /** One adapted projection; {@code magnitude} is null but for DoRA. */
  record Update(Node a, Node b, Node magnitude, double scale) {}

  final Map<String, double[]> weights = new LinkedHashMap<>(); // by the checkpoint's names
  final Map<String, Update> updates = new LinkedHashMap<>(); // by module
  private final boolean tied;
  private final boolean scaledRope;
  private final List<Runnable> backward = new ArrayList<>();

  /** Draws weights, rounded to what the checkpoint's type can hold. */
  ReferenceLlama(boolean tied, boolean scaledRope, long seed, DoubleUnaryOperator rounding) {
    this.tied = tied;
    this.scaledRope = scaledRope;
    Random random = new Random(seed);
    draw("model.embed_tokens.weight", VOCABULARY * HIDDEN, 0.6, 0, random, rounding);
    for (int l = 0; l < LAYERS; l++) {
      String layer = "model.layers." + l + ".";
      for (String module : List.of("q", "k", "v", "o", "gate", "up", "down")) {
        String name = layer + (module.length() == 1 ? "self_attn." : "mlp.") + module + "_proj";
        draw(name + ".weight", out(name) * in(name), 0.25, 0, random, rounding);
      }
      draw(layer + "input_layernorm.weight", HIDDEN, 0.2, 1, random, rounding);
      draw(layer + "post_attention_layernorm.weight", HIDDEN, 0.2, 1, random, rounding);
    }
    draw("model.norm.weight", HIDDEN, 0.2, 1, random, rounding);
    if (!tied) {
      draw("lm_head.weight", VOCABULARY * HIDDEN, 0.4, 0, random, rounding);
    }
  }

  private void draw(
      String name, int size, double spread, double mean, Random random, DoubleUnaryOperator round) {
    double[] values = new double[size];
    Arrays.setAll(values, i -> round.applyAsDouble(mean + spread * random.nextGaussian()));
    weights.put(name, values);
  }

  static int out(String module) {
    return switch (last(module)) {
      case "q_proj" -> HEADS * HEAD;
      case "k_proj", "v_proj" -> KV_HEADS * HEAD;
      case "gate_proj", "up_proj" -> INNER;
      default -> HIDDEN;
    };
  }

  static int in(String module) {
    return switch (last(module)) {
      case "o_proj" -> HEADS * HEAD;
      case "down_proj" -> INNER;
      default -> HIDDEN;
    };
  }

  private static String last(String module) {
    return module.substring(module.lastIndexOf('.') + 1);
  }

  List<String> modules() {
    return weights.keySet().stream()
        .filter(n -> n.endsWith("_proj.weight"))
        .map(n -> n.substring(0, n.length() - ".weight".length()))
        .toList();
  }

  /** Adapts a module with random A and B; a DoRA magnitude is moved off the weight's norm. */
  void adapt(String module, int rank, double scale, boolean dora, Random random) {
    Node a = new Node(rank, in(module));
    Node b = new Node(out(module), rank);
    Arrays.setAll(a.value, i -> (float) (0.3 * random.nextGaussian()));
    Arrays.setAll(b.value, i -> (float) (0.3 * random.nextGaussian()));
    Node magnitude = null;
    if (dora) {
      magnitude = new Node(1, out(module));
      double[] norms = norms(module, new Update(a, b, null, scale));
      Arrays.setAll(magnitude.value, i -> (float) (norms[i] * (1 + 0.2 * random.nextGaussian())));
    }
    updates.put(module, new Update(a, b, magnitude, scale));
  }

  /** Returns the parameters under PEFT's names. */
  Map<String, Node> parameters() {
    Map<String, Node> all = new LinkedHashMap<>();
    updates.forEach(
        (module, u) -> {
          String prefix = "base_model.model." + module;
          all.put(prefix + ".lora_A.weight", u.a);
          all.put(prefix + ".lora_B.weight", u.b);
          if (u.magnitude != null) {
            all.put(prefix + ".lora_magnitude_vector", u.magnitude);
          }
        });
    return all;
  }

  // ---- the model

  /** Returns the logits of one sequence: {@code [n, vocabulary]}. */
  Node logits(int[] ids, boolean adapted) {
    int n = ids.length;
    Node x = new Node(n, HIDDEN);
    double[] table = weights.get("model.embed_tokens.weight");
    for (int t = 0; t < n; t++) {
      System.arraycopy(table, ids[t] * HIDDEN, x.value, t * HIDDEN, HIDDEN);
    }
    for (int l = 0; l < LAYERS; l++) {
      String layer = "model.layers." + l + ".";
      Node h = norm(x, weights.get(layer + "input_layernorm.weight"));
      Node q = rope(project(h, layer + "self_attn.q_proj", adapted));
      Node k = rope(project(h, layer + "self_attn.k_proj", adapted));
      Node v = project(h, layer + "self_attn.v_proj", adapted);
      x = add(x, project(attention(q, k, v), layer + "self_attn.o_proj", adapted));
      h = norm(x, weights.get(layer + "post_attention_layernorm.weight"));
      Node gate = silu(project(h, layer + "mlp.gate_proj", adapted));
      Node up = project(h, layer + "mlp.up_proj", adapted);
      x = add(x, project(multiply(gate, up), layer + "mlp.down_proj", adapted));
    }
    Node h = norm(x, weights.get("model.norm.weight"));
    return linear(h, weights.get(tied ? "model.embed_tokens.weight" : "lm_head.weight"));
  }

  /** Hu et al. 2021: W x + s B A x; Liu et al. 2024: m (W x + s B A x) / ||W + s B A||. */
  private Node project(Node x, String module, boolean adapted) {
    Node base = linear(x, weights.get(module + ".weight"));
    Update u = adapted ? updates.get(module) : null;
    if (u == null) {
      return base;
    }
    Node sum = add(base, scale(product(product(x, u.a), u.b), u.scale));
    return u.magnitude == null ? sum : rescale(sum, u.magnitude, norms(module, u));
  }

  private double[] norms(String module, Update u) {
    double[] w = weights.get(module + ".weight");
    double[] norms = new double[out(module)];
    int in = in(module);
    for (int o = 0; o < norms.length; o++) {
      double sum = 0;
      for (int i = 0; i < in; i++) {
        double v = w[o * in + i];
        for (int r = 0; r < u.a.rows; r++) {
          v += u.scale * u.b.value[o * u.a.rows + r] * u.a.value[r * in + i];
        }
        sum += v * v;
      }
      norms[o] = Math.sqrt(sum);
    }
    return norms;
  }

  /** Adds the sequence's cross-entropy, divided by {@code count}, to the gradients; returns it. */
  double loss(int[] ids, int[] targets, boolean adapted, int count) {
    Node z = logits(ids, adapted);
    double loss = 0;
    for (int t = 0; t < ids.length; t++) {
      if (targets[t] < 0) {
        continue;
      }
      double max = Double.NEGATIVE_INFINITY;
      for (int c = 0; c < VOCABULARY; c++) {
        max = Math.max(max, z.value[t * VOCABULARY + c]);
      }
      double sum = 0;
      for (int c = 0; c < VOCABULARY; c++) {
        sum += Math.exp(z.value[t * VOCABULARY + c] - max);
      }
      loss += (max + Math.log(sum) - z.value[t * VOCABULARY + targets[t]]) / count;
      for (int c = 0; c < VOCABULARY; c++) {
        double p = Math.exp(z.value[t * VOCABULARY + c] - max) / sum;
        z.gradient[t * VOCABULARY + c] += (p - (c == targets[t] ? 1 : 0)) / count;
      }
    }
    for (int i = backward.size() - 1; i >= 0; i--) {
      backward.get(i).run();
    }
    backward.clear();
    return loss;
  }

  int[] greedy(int[] prompt, int length, boolean adapted) {
    int[] ids = prompt;
    while (ids.length < length && ids[ids.length - 1] != END) {
      Node z = logits(ids, adapted);
      backward.clear();
      int best = 0;
      int row = (ids.length - 1) * VOCABULARY;
      for (int c = 1; c < VOCABULARY; c++) {
        if (z.value[row + c] > z.value[row + best]) {
          best = c;
        }
      }
      ids = Arrays.copyOf(ids, ids.length + 1);
      ids[ids.length - 1] = best;
    }
    return ids;
  }

  double[] inference(int[] ids, boolean adapted) {
    double[] logits = logits(ids, adapted).value;
    backward.clear();
    return logits;
  }

  // ---- operations, each with its backward

  private Node linear(Node x, double[] w) {
    int out = w.length / x.cols;
    Node y = new Node(x.rows, out);
    for (int t = 0; t < x.rows; t++) {
      for (int o = 0; o < out; o++) {
        for (int i = 0; i < x.cols; i++) {
          y.value[t * out + o] += x.value[t * x.cols + i] * w[o * x.cols + i];
        }
      }
    }
    backward.add(
        () -> {
          for (int t = 0; t < x.rows; t++) {
            for (int o = 0; o < out; o++) {
              for (int i = 0; i < x.cols; i++) {
                x.gradient[t * x.cols + i] += y.gradient[t * out + o] * w[o * x.cols + i];
              }
            }
          }
        });
    return y;
  }

  /** Returns {@code x m'}. */
  private Node product(Node x, Node m) {
    Node y = linear(x, m.value);
    backward.add(
        () -> {
          for (int t = 0; t < x.rows; t++) {
            for (int o = 0; o < m.rows; o++) {
              for (int i = 0; i < m.cols; i++) {
                m.gradient[o * m.cols + i] += y.gradient[t * m.rows + o] * x.value[t * m.cols + i];
              }
            }
          }
        });
    return y;
  }

  private Node add(Node a, Node b) {
    Node y = new Node(a.rows, a.cols);
    Arrays.setAll(y.value, i -> a.value[i] + b.value[i]);
    backward.add(
        () -> {
          for (int i = 0; i < y.value.length; i++) {
            a.gradient[i] += y.gradient[i];
            b.gradient[i] += y.gradient[i];
          }
        });
    return y;
  }

  private Node scale(Node a, double s) {
    Node y = new Node(a.rows, a.cols);
    Arrays.setAll(y.value, i -> s * a.value[i]);
    backward.add(
        () -> {
          for (int i = 0; i < y.value.length; i++) {
            a.gradient[i] += s * y.gradient[i];
          }
        });
    return y;
  }

  /** Multiplies columns by m / norm; the norm is a constant to the gradient (DoRA, section 4.3). */
  private Node rescale(Node a, Node m, double[] norm) {
    Node y = new Node(a.rows, a.cols);
    Arrays.setAll(y.value, i -> a.value[i] * m.value[i % a.cols] / norm[i % a.cols]);
    backward.add(
        () -> {
          for (int i = 0; i < y.value.length; i++) {
            int c = i % a.cols;
            a.gradient[i] += y.gradient[i] * m.value[c] / norm[c];
            m.gradient[c] += y.gradient[i] * a.value[i] / norm[c];
          }
        });
    return y;
  }

  private Node multiply(Node a, Node b) {
    Node y = new Node(a.rows, a.cols);
    Arrays.setAll(y.value, i -> a.value[i] * b.value[i]);
    backward.add(
        () -> {
          for (int i = 0; i < y.value.length; i++) {
            a.gradient[i] += y.gradient[i] * b.value[i];
            b.gradient[i] += y.gradient[i] * a.value[i];
          }
        });
    return y;
  }

  private Node silu(Node a) {
    Node y = new Node(a.rows, a.cols);
    Arrays.setAll(y.value, i -> a.value[i] / (1 + Math.exp(-a.value[i])));
    backward.add(
        () -> {
          for (int i = 0; i < y.value.length; i++) {
            double s = 1 / (1 + Math.exp(-a.value[i]));
            a.gradient[i] += y.gradient[i] * s * (1 + a.value[i] * (1 - s));
          }
        });
    return y;
  }

  private Node norm(Node x, double[] w) {
    Node y = new Node(x.rows, x.cols);
    double[] inverse = new double[x.rows];
    int d = x.cols;
    for (int t = 0; t < x.rows; t++) {
      double sum = 0;
      for (int c = 0; c < d; c++) {
        sum += x.value[t * d + c] * x.value[t * d + c];
      }
      inverse[t] = 1 / Math.sqrt(sum / d + EPS);
      for (int c = 0; c < d; c++) {
        y.value[t * d + c] = x.value[t * d + c] * inverse[t] * w[c];
      }
    }
    backward.add(
        () -> {
          for (int t = 0; t < x.rows; t++) {
            double dot = 0;
            for (int c = 0; c < d; c++) {
              dot += y.gradient[t * d + c] * w[c] * x.value[t * d + c];
            }
            for (int c = 0; c < d; c++) {
              x.gradient[t * d + c] +=
                  inverse[t] * y.gradient[t * d + c] * w[c]
                      - x.value[t * d + c] * dot * Math.pow(inverse[t], 3) / d;
            }
          }
        });
    return y;
  }

  /** Rotates halves of each head; the row is the position. */
  private Node rope(Node x) {
    Node y = new Node(x.rows, x.cols);
    rotate(x.value, y.value, x.rows, x.cols, 1);
    backward.add(
        () -> {
          double[] back = new double[x.value.length];
          rotate(y.gradient, back, x.rows, x.cols, -1);
          for (int i = 0; i < back.length; i++) {
            x.gradient[i] += back[i];
          }
        });
    return y;
  }

  private void rotate(double[] from, double[] to, int rows, int cols, int sign) {
    int half = HEAD / 2;
    for (int t = 0; t < rows; t++) {
      for (int h = 0; h < cols / HEAD; h++) {
        for (int i = 0; i < half; i++) {
          double angle = sign * t * frequency(i);
          int at = t * cols + h * HEAD + i;
          to[at] = from[at] * Math.cos(angle) - from[at + half] * Math.sin(angle);
          to[at + half] = from[at + half] * Math.cos(angle) + from[at] * Math.sin(angle);
        }
      }
    }
  }

  /** The Llama 3.1 scaling with factor 8, low 1, high 4, original context 16. */
  private double frequency(int i) {
    double plain = Math.pow(THETA, -2.0 * i / HEAD);
    double wavelength = 2 * Math.PI / plain;
    if (!scaledRope || wavelength < 16 / 4.0) {
      return plain;
    }
    if (wavelength > 16 / 1.0) {
      return plain / 8;
    }
    double smooth = (16 / wavelength - 1) / (4 - 1);
    return (1 - smooth) * plain / 8 + smooth * plain;
  }

  private Node attention(Node q, Node k, Node v) {
    int n = q.rows;
    Node y = new Node(n, q.cols);
    double[] p = new double[HEADS * n * n];
    double root = 1 / Math.sqrt(HEAD);
    for (int h = 0; h < HEADS; h++) {
      int kv = h / (HEADS / KV_HEADS);
      for (int t = 0; t < n; t++) {
        double sum = 0;
        int row = (h * n + t) * n;
        for (int s = 0; s <= t; s++) {
          double dot = 0;
          for (int c = 0; c < HEAD; c++) {
            dot += q.value[t * q.cols + h * HEAD + c] * k.value[s * k.cols + kv * HEAD + c];
          }
          p[row + s] = Math.exp(dot * root);
          sum += p[row + s];
        }
        for (int s = 0; s <= t; s++) {
          p[row + s] /= sum;
          for (int c = 0; c < HEAD; c++) {
            y.value[t * q.cols + h * HEAD + c] += p[row + s] * v.value[s * k.cols + kv * HEAD + c];
          }
        }
      }
    }
    backward.add(
        () -> {
          for (int h = 0; h < HEADS; h++) {
            int kv = h / (HEADS / KV_HEADS);
            for (int t = 0; t < n; t++) {
              int row = (h * n + t) * n;
              double[] dp = new double[t + 1];
              double mean = 0;
              for (int s = 0; s <= t; s++) {
                for (int c = 0; c < HEAD; c++) {
                  double g = y.gradient[t * q.cols + h * HEAD + c];
                  dp[s] += g * v.value[s * k.cols + kv * HEAD + c];
                  v.gradient[s * k.cols + kv * HEAD + c] += p[row + s] * g;
                }
                mean += p[row + s] * dp[s];
              }
              for (int s = 0; s <= t; s++) {
                double g = p[row + s] * (dp[s] - mean) * root;
                for (int c = 0; c < HEAD; c++) {
                  int qi = t * q.cols + h * HEAD + c;
                  int ki = s * k.cols + kv * HEAD + c;
                  q.gradient[qi] += g * k.value[ki];
                  k.gradient[ki] += g * q.value[qi];
                }
              }
            }
          }
        });
    return y;
  }
}
