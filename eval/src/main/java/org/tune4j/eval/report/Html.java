package org.tune4j.eval.report;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import com.google.common.html.HtmlEscapers;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** HTML as it grows. Whatever is passed as text is escaped; only tags are not. */
final class Html {
  /** Colours that the style sheet has. */
  static final int COLOURS = 8;

  /** The number of the colour of what is no series of its own. */
  static final int GREY = -1;

  private static final Splitter WORDS = Splitter.on(CharMatcher.anyOf(" -"));
  private static final int LONG_WORD = 20;

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

  /** Appends a cell with a number, or with a dash if it is none. */
  Html number(String format, double value) {
    return Double.isFinite(value) ? cell(format, value) : element("td", "–");
  }

  /**
   * Appends a heading of a row, often a name: one without a place to break at may break anywhere.
   */
  Html heading(String name) {
    return heading("row", name);
  }

  private Html heading(String scope, String name) {
    boolean isLong = WORDS.splitToStream(name).anyMatch(w -> w.length() > LONG_WORD);
    return element("th scope=\"" + scope + "\"" + (isLong ? " class=\"long\"" : ""), name);
  }

  Html head(List<String> headings) {
    raw("<thead><tr>");
    headings.forEach(h -> heading("col", h));
    return raw("</tr></thead>\n");
  }

  /**
   * Appends the place of a chart, which the page's script draws.
   *
   * @param legend numbers of colours by name; it is text, so that it wraps as text does
   */
  Html chart(
      String title,
      String kind,
      int index,
      String caption,
      boolean tall,
      Map<String, Integer> legend) {
    raw(tall ? "<figure>" : "<figure class=\"half\">").element("h3", title);
    if (!legend.isEmpty()) {
      raw("<ul class=\"legend\">");
      legend.forEach(
          (name, colour) ->
              raw("<li><i class=\"" + (colour == GREY ? "grey" : "c" + colour) + "\"></i><span>")
                  .text(name)
                  .raw("</span></li>"));
      raw("</ul>\n");
    }
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
