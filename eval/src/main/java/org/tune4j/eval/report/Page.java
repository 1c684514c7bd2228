package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.html.HtmlEscapers;
import com.google.common.io.Resources;
import java.io.IOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Limits;
import org.tune4j.core.text.jinja.Template;

/**
 * Renders the page from the template {@code report.html}, with {@code report.css}, {@code
 * report.js} and the chart library inlined. All strings are escaped before the template sees them,
 * so that it cannot forget to.
 */
final class Page {
  private static final String ECHARTS =
      "META-INF/resources/webjars/echarts/5.3.1/dist/echarts.min.js";

  private Page() {}

  /**
   * Returns the page.
   *
   * @param view of maps, lists, strings and numbers
   * @param data of the charts
   */
  static String of(Map<String, ?> view, ObjectNode data) {
    Map<String, Object> all = new HashMap<>();
    view.forEach((name, value) -> all.put(name, escaped(value)));
    all.put("css", resource("report.css"));
    all.put("data", script(data.toString()));
    all.put("echarts", read(Resources.getResource(ECHARTS)));
    all.put("script", resource("report.js"));
    return Template.compile(resource("report.html"), "report.html", Limits.defaults())
            .render(all, Clock.systemUTC())
            .text()
        + "\n";
  }

  private static Object escaped(Object value) {
    if (value instanceof String text) {
      return HtmlEscapers.htmlEscaper().escape(text);
    }
    if (value instanceof List<?> list) {
      return list.stream().map(Page::escaped).toList();
    }
    if (value instanceof Map<?, ?> map) {
      Map<String, Object> all = new LinkedHashMap<>();
      map.forEach((k, v) -> all.put((String) k, escaped(v)));
      return all;
    }
    return value;
  }

  /** Escapes JSON so that it cannot end the script element that contains it. */
  private static String script(String json) {
    return json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029");
  }

  private static String resource(String name) {
    return read(Resources.getResource(Page.class, name));
  }

  private static String read(URL resource) {
    try {
      return Resources.toString(resource, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new IllegalStateException("cannot read the library's resource " + resource, e);
    }
  }
}
