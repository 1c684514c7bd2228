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
 * The names of tensors in an adapter file. In PEFT's memory an adapter's name is part of them
 * ({@code q_proj.lora_A.default.weight}, {@code lm_head.modules_to_save.default.weight}); its
 * {@code save_pretrained} takes it out, other programs do not.
 */
final class PeftKeys {
  private static final Logger LOG = LoggerFactory.getLogger(PeftKeys.class);
  private static final String DEFAULT = "default";

  /** (module.lora_A)(name)(weight), of the parameters that end so. */
  private static final Pattern MATRIX =
      pattern(e -> e.endsWith(".weight"), "(?:\\.([^.]+))?\\.(weight|bias)");

  /** (module.lora_embedding_A)(name), of the others; before PEFT 0.14 .weight stood behind some. */
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

  /** A key without prefix and adapter's name, and that name; "" if there is none. */
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
          : new Key(key, null); // says nothing of a name
    }

    private static String orEmpty(String text) {
      return text == null ? "" : text;
    }
  }

  /**
   * Returns the keys of one adapter: plain names, as {@code save_pretrained} writes them without
   * their prefix, to the names in the file. Keys that have no prefix are left out.
   *
   * @param keys in the file
   * @param name that the adapter is loaded under
   * @throws IllegalArgumentException if several adapters are in the file and neither has this name
   *     nor PEFT's own
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
          "keys of the adapter(s) %s beside keys without an adapter's name".formatted(named));
    }
    String chosen = names.contains(name) ? name : DEFAULT;
    if (!names.contains(chosen)) {
      throw new IllegalArgumentException(
          "the adapters %s and none is '%s' or '%s'".formatted(names, name, DEFAULT));
    }
    LOG.warn("the file holds the adapters {}: '{}' is loaded", names, chosen);
    return chosen;
  }
}
