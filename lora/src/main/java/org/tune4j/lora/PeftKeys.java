package org.tune4j.lora;

import static java.util.stream.Collectors.joining;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The names of tensors in an adapter file. In PEFT's modules they contain the adapter's name
 * ({@code q_proj.lora_A.default.weight}, {@code lm_head.modules_to_save.default.weight}); {@code
 * save_pretrained} removes it, but other programs do not.
 */
final class PeftKeys {
  private static final Logger LOG = LoggerFactory.getLogger(PeftKeys.class);
  private static final String DEFAULT = "default";

  /** (module.lora_A)(name)(weight), for parameters that end in .weight. */
  private static final Pattern MATRIX =
      pattern(e -> e.endsWith(".weight"), "(?:\\.([^.]+))?\\.(weight|bias)");

  /** (module.lora_embedding_A)(name), for the others; some ended in .weight before PEFT 0.14. */
  private static final Pattern BARE =
      pattern(e -> !e.endsWith(".weight"), "(?:\\.(?!weight$)([^.]+))?(?:\\.weight)?");

  private static final Pattern SAVED = Pattern.compile("(.+?)\\.modules_to_save\\.([^.]+)\\.(.+)");

  private PeftKeys() {}

  private static Pattern pattern(Predicate<String> which, String rest) {
    String names =
        LoraVariant.all().stream()
            .flatMap(v -> v.endings().stream())
            .filter(which)
            .map(e -> Pattern.quote(e.replaceFirst("\\.weight$", "")))
            .distinct()
            .collect(joining("|"));
    return Pattern.compile("(.+?\\.(?:" + names + "))" + rest);
  }

  /**
   * A key without the prefix and the adapter's name, and that name: "" if there is none, null if
   * the key cannot contain one.
   */
  private record Key(String plain, String adapter) {
    static Key of(String key) {
      Matcher m = BARE.matcher(key);
      if (m.matches()) {
        return new Key(m.group(1), orEmpty(m.group(2)));
      }
      m = MATRIX.matcher(key);
      if (m.matches()) {
        return new Key(m.group(1) + "." + m.group(3), orEmpty(m.group(2)));
      }
      m = SAVED.matcher(key);
      return m.matches()
          ? new Key(m.group(1) + "." + m.group(3), m.group(2))
          : new Key(key, null); // not a parameter of an adapter
    }

    private static String orEmpty(String text) {
      return text == null ? "" : text;
    }
  }

  /**
   * Returns the keys of one adapter: a map from plain names, as written by {@code save_pretrained}
   * but without the prefix, to names in the file. Keys without the prefix are left out.
   *
   * @param keys in the file
   * @param name that the adapter is loaded under
   * @throws IllegalArgumentException if the file has several adapters, none with this name or
   *     {@code default}
   */
  static Map<String, String> of(Collection<String> keys, String name) {
    Map<String, Map<String, String>> byAdapter = new TreeMap<>();
    Map<String, String> found = new LinkedHashMap<>();
    for (String key : keys) {
      if (key.startsWith(PeftFormat.PREFIX)) {
        Key k = Key.of(key.substring(PeftFormat.PREFIX.length()));
        if (k.adapter == null) {
          found.put(k.plain, key);
        } else {
          byAdapter.computeIfAbsent(k.adapter, a -> new LinkedHashMap<>()).put(k.plain, key);
        }
      }
    }
    String chosen = choose(byAdapter.keySet(), name);
    byAdapter.getOrDefault(chosen, Map.of()).forEach(found::put);
    return found;
  }

  private static String choose(Set<String> names, String name) {
    if (names.size() < 2) {
      return names.isEmpty() ? "" : names.iterator().next();
    }
    if (names.contains("")) {
      Set<String> named = new TreeSet<>(names);
      named.remove("");
      throw new IllegalArgumentException(
          "keys of the adapter(s) %s besides keys without an adapter's name".formatted(named));
    }
    String chosen = names.contains(name) ? name : DEFAULT;
    if (!names.contains(chosen)) {
      throw new IllegalArgumentException(
          "the adapters %s, none of which is '%s' or '%s'".formatted(names, name, DEFAULT));
    }
    LOG.warn("the file has the adapters {}: loading '{}'", names, chosen);
    return chosen;
  }
}
