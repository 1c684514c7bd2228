package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Python's {@code pprint.pformat}: lines of 80 characters, dicts in the order of their keys. */
final class PrettyPrint {
  private static final int WIDTH = 80;

  private final Run run;
  private final StringBuilder out = new StringBuilder();

  private PrettyPrint(Run run) {
    this.run = run;
  }

  static String format(Run run, Object v) {
    PrettyPrint p = new PrettyPrint(run);
    p.format(p.sorted(v, 0), 0, 0, 1);
    run.made(p.out.length());
    return p.out.toString();
  }

  /** Returns a value whose dicts are sorted, at all depths. */
  private Object sorted(Object v, int depth) {
    Values.checkDepth(depth);
    run.step();
    if (v instanceof List<?> list) {
      return sortedItems(list, depth);
    }
    if (v instanceof Tuple t && !t.group()) {
      return new Tuple(sortedItems(t.items(), depth));
    }
    if (!(v instanceof Map<?, ?> map)) {
      return v;
    }
    List<Map.Entry<?, ?>> entries = new ArrayList<>(map.entrySet());
    entries.sort((a, b) -> compareKeys(Values.unkey(a.getKey()), Values.unkey(b.getKey())));
    Map<Object, Object> result = new LinkedHashMap<>();
    entries.forEach(e -> result.put(e.getKey(), sorted(e.getValue(), depth + 1)));
    return result;
  }

  private List<Object> sortedItems(List<?> items, int depth) {
    List<Object> all = new ArrayList<>();
    items.forEach(x -> all.add(sorted(x, depth + 1)));
    run.madeElements(all.size(), all.size());
    return all;
  }

  /** Compares keys, and keys without an order by the names of their types. */
  private static int compareKeys(Object a, Object b) {
    try {
      return Values.less(a, b) ? -1 : Values.less(b, a) ? 1 : 0;
    } catch (Failure e) {
      return Values.typeName(a).compareTo(Values.typeName(b));
    }
  }

  private void format(Object v, int indent, int allowance, int level) {
    String repr = Values.repr(run, v);
    if (Text.length(repr) <= WIDTH - indent - allowance) {
      out.append(repr);
    } else if (v instanceof List<?> list) {
      out.append('[');
      items(list.iterator(), indent, allowance + 1, level);
      out.append(']');
    } else if (v instanceof Tuple t && !t.group()) {
      String end = t.items().size() == 1 ? ",)" : ")";
      out.append('(');
      items(t.items().iterator(), indent, allowance + end.length(), level);
      out.append(end);
    } else if (v instanceof Map<?, ?> map) {
      out.append('{');
      entries(map, indent, allowance + 1, level);
      out.append('}');
    } else if (v instanceof String s) {
      text(s, indent, allowance, level);
    } else {
      out.append(repr);
    }
    run.checkSize(out.length());
  }

  private void newLine(int indent) {
    out.append(",\n").append(" ".repeat(indent));
  }

  private void items(Iterator<?> items, int indent, int allowance, int level) {
    for (boolean first = true; items.hasNext(); first = false) {
      if (!first) {
        newLine(indent + 1);
      }
      Object item = items.next();
      format(item, indent + 1, items.hasNext() ? 1 : allowance, level + 1);
    }
  }

  private void entries(Map<?, ?> map, int indent, int allowance, int level) {
    Iterator<? extends Map.Entry<?, ?>> entries = map.entrySet().iterator();
    for (boolean first = true; entries.hasNext(); first = false) {
      if (!first) {
        newLine(indent + 1);
      }
      Map.Entry<?, ?> e = entries.next();
      String key = Values.repr(run, Values.unkey(e.getKey()));
      out.append(key).append(": ");
      format(
          e.getValue(),
          indent + 1 + Text.length(key) + 2,
          entries.hasNext() ? 1 : allowance,
          level + 1);
    }
  }

  /** A long text becomes several literals, one a line. */
  private void text(String s, int indent, int allowance, int level) {
    boolean top = level == 1;
    int column = top ? indent + 1 : indent;
    int reserved = top ? allowance + 1 : allowance;
    List<String> chunks = new ArrayList<>();
    List<Object> lines = Text.splitLines(s, true);
    String repr = "";
    for (int i = 0; i < lines.size(); i++) {
      String line = (String) lines.get(i);
      boolean lastLine = i == lines.size() - 1;
      repr = Values.repr(run, line);
      if (Text.length(repr) <= WIDTH - column - (lastLine ? reserved : 0)) {
        chunks.add(repr);
        continue;
      }
      String current = "";
      List<String> parts = parts(line);
      for (int j = 0; j < parts.size(); j++) {
        int width = WIDTH - column - (lastLine && j == parts.size() - 1 ? reserved : 0);
        String candidate = current + parts.get(j);
        run.scanned(candidate.length());
        if (Text.length(Values.repr(run, candidate)) > width) {
          if (!current.isEmpty()) {
            chunks.add(Values.repr(run, current));
          }
          current = parts.get(j);
        } else {
          current = candidate;
        }
      }
      if (!current.isEmpty()) {
        chunks.add(Values.repr(run, current));
      }
    }
    if (chunks.size() == 1) {
      out.append(repr);
      return;
    }
    out.append(top ? "(" : "");
    out.append(String.join("\n" + " ".repeat(column), chunks));
    out.append(top ? ")" : "");
  }

  /** Returns words, each with the white space after it. */
  private static List<String> parts(String line) {
    List<String> parts = new ArrayList<>();
    int i = 0;
    while (i < line.length()) {
      int start = i;
      while (i < line.length() && !Text.isSpace(line.charAt(i))) {
        i++;
      }
      while (i < line.length() && Text.isSpace(line.charAt(i))) {
        i++;
      }
      parts.add(line.substring(start, i));
    }
    return parts;
  }
}
