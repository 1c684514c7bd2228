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
 * The page: {@code report.html}, a template, filled with texts that are all escaped before it sees
 * them, so that it cannot forget to; and {@code report.css}, {@code report.js} and the charts'
 * library inside it.
 */
final class Page {
  private static final String ECHARTS =
      "META-INF/resources/webjars/echarts/5.3.1/dist/echarts.min.js";

  private Page() {}

  /** Returns the page of a view, made of maps, lists, texts and numbers, and of charts' data. */
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

  /** JSON inside a script element must not be able to end it. */
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
      throw new IllegalStateException(resource + ", a part of this library, cannot be read", e);
    }
  }
}
