package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.DictView;
import org.tune4j.core.text.jinja.Values.Lazy;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Namespace;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Converts values to strings as Python does. */
final class Printing {
  /** Maximum length of a value in a message. */
  private static final int MAX_QUOTED = 200;

  /** The rendering that is charged; null if only the beginning is needed. */
  private final Run run;

  private final StringBuilder out = new StringBuilder();

  private Printing(Run run) {
    this.run = run;
  }

  /** Returns {@code str(v)}. */
  static String str(Object v) {
    if (Values.isText(v)) {
      return v.toString();
    }
    return v instanceof Undefined ? "" : repr(v);
  }

  /** Returns {@code repr(v)}. */
  static String repr(Object v) {
    Printing p = new Printing(Run.now());
    p.value(v, 0);
    p.run.made(p.out.length());
    return p.out.toString();
  }

  /** Returns the start of {@code repr(v)}, for messages. */
  static String quoted(Object v) {
    Printing p = new Printing(null);
    p.value(v, 0);
    return p.enough() ? p.out.substring(0, MAX_QUOTED) + "..." : p.out.toString();
  }

  private boolean enough() {
    return run == null && out.length() > MAX_QUOTED;
  }

  private void value(Object v, int depth) {
    Values.checkDepth(depth);
    if (run != null) {
      run.visit();
      run.checkSize(out.length());
    }
    if (v == null) {
      out.append("None");
    } else if (v instanceof Boolean b) {
      out.append(b ? "True" : "False");
    } else if (v instanceof BigInteger n) {
      out.append(Numbers.text(n));
    } else if (v instanceof Double d) {
      out.append(Numbers.text(d));
    } else if (v instanceof String s) {
      text(s);
    } else if (v instanceof Markup m) {
      out.append("Markup(");
      text(m.text());
      out.append(')');
    } else if (v instanceof Tuple t) {
      items(t, "(", t.size() == 1 ? ",)" : ")", depth);
    } else if (v instanceof Map<?, ?> map) {
      map(map, depth);
    } else if (v instanceof DictView view) {
      items(view, view.type + "([", "])", depth);
    } else if (v instanceof List<?> l && !(v instanceof Range)) {
      items(l, "[", "]", depth);
    } else if (v instanceof Namespace ns) {
      out.append("<Namespace ");
      map(ns.attributes(), depth + 1);
      out.append('>');
    } else if (v instanceof Lazy lazy) {
      out.append('<').append(lazy.type()).append(" object>");
    } else {
      out.append(v instanceof Undefined ? "Undefined" : v);
    }
  }

  private void items(Collection<?> items, String open, String close, int depth) {
    out.append(open);
    boolean first = true;
    for (Iterator<?> i = items.iterator(); i.hasNext() && !enough(); first = false) {
      out.append(first ? "" : ", ");
      value(i.next(), depth + 1);
    }
    out.append(close);
  }

  private void map(Map<?, ?> map, int depth) {
    out.append('{');
    boolean first = true;
    for (Map.Entry<?, ?> e : map.entrySet()) {
      if (enough()) {
        break;
      }
      out.append(first ? "" : ", ");
      first = false;
      value(Values.unkey(e.getKey()), depth + 1);
      out.append(": ");
      value(e.getValue(), depth + 1);
    }
    out.append('}');
  }

  private void text(String s) {
    char quote = s.indexOf('\'') >= 0 && s.indexOf('"') < 0 ? '"' : '\'';
    out.append(quote);
    for (int i = 0; i < s.length() && !enough(); ) {
      int c = s.codePointAt(i);
      i += Character.charCount(c);
      switch (c) {
        case '\n' -> out.append("\\n");
        case '\t' -> out.append("\\t");
        case '\r' -> out.append("\\r");
        default -> {
          if (c == quote || c == '\\') {
            out.append('\\').append((char) c);
          } else if (Text.isPrintable(c)) {
            out.appendCodePoint(c);
          } else {
            Escapes.append(c, out);
          }
        }
      }
    }
    out.append(quote);
  }
}
