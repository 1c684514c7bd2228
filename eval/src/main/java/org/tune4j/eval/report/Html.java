package org.tune4j.eval.report;

import com.google.common.html.HtmlEscapers;
import java.util.List;
import java.util.Locale;

/** HTML as it grows. Whatever is passed as text is escaped; only tags are not. */
final class Html {
  private final StringBuilder out = new StringBuilder();

  static String escape(String text) {
    return HtmlEscapers.htmlEscaper().escape(text);
  }

  /** Appends tags and the like, as they are. */
  Html raw(String html) {
    out.append(html);
    return this;
  }

  Html text(String text) {
    out.append(escape(text));
    return this;
  }

  /** Appends an element with text in it; {@code tag} may have attributes. */
  Html element(String tag, String text) {
    int space = tag.indexOf(' ');
    String name = space < 0 ? tag : tag.substring(0, space);
    return raw("<" + tag + ">").text(text).raw("</" + name + ">\n");
  }

  /** Appends a cell of a table's body. */
  Html cell(String format, Object... values) {
    return element("td", String.format(Locale.ROOT, format, values));
  }

  Html head(List<String> headings) {
    raw("<thead><tr>");
    headings.forEach(h -> element("th scope=\"col\"", h));
    return raw("</tr></thead>\n");
  }

  /** Appends the place of a chart, which the page's script draws. */
  Html chart(String title, String kind, int index, String caption, boolean tall) {
    raw(tall ? "<figure>" : "<figure class=\"half\">").element("h3", title);
    raw("<div class=\"chart" + (tall ? " tall" : "") + "\" data-chart=\"" + kind + " " + index);
    raw("\" role=\"img\" aria-label=\"").text(title + ". The numbers are in a table below.");
    raw("\"></div>");
    if (!caption.isEmpty()) {
      element("figcaption", caption);
    }
    return raw("</figure>\n");
  }

  /** Begins what is folded until asked for, where there are scripts. */
  Html fold(String summary) {
    return raw("<details open>").element("summary", summary);
  }

  @Override
  public String toString() {
    return out.toString();
  }
}
