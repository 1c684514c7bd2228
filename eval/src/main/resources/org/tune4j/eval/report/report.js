"use strict";
// Draws the charts from the JSON beside it. Every number is in a table of the page as well.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const text = css("--text"), muted = css("--muted"), line = css("--line"), card = css("--card");
  const colors = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => css("--c" + i));
  const grey = css("--grey");
  const fixed = (v) => v.toFixed(3);
  const escape = (s) => echarts.format.encodeHTML(String(s));
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  const LABEL = 11, LINE = 14, GAP = 4; // size and line height of labels, and what is between two
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = LABEL + "px " + FONT;
  const long = (s) => pen.measureText(s.trim()).width;

  // breaks a name into lines of a width, after hyphens and between words; null if a part is wider
  function lines(name, width) {
    const out = [""];
    for (const part of String(name).split(/(?<=[-_ /.:])/)) {
      if (long(part) > width) { return null; }
      const last = out[out.length - 1];
      if (last && long(last + part) > width) { out.push(part); } else { out[out.length - 1] = last + part; }
    }
    return out.map((l) => l.trim());
  }

  // labels of categories that fit a width: names in up to three lines, or marks, which a list explains
  function labels(names, width, digits) {
    const wrapped = names.map((n) => lines(n, width - GAP));
    const whole = wrapped.every((w) => w && w.length <= 3);
    const letters = (i) => (i < 26 ? "" : String.fromCharCode(64 + Math.floor(i / 26))) + String.fromCharCode(65 + i % 26);
    const texts = whole ? wrapped.map((w) => w.join("\n")) : names.map((n, i) => (digits ? String(i + 1) : letters(i)));
    const all = texts.map((t) => t.split("\n"));
    return {
      texts, names, keyed: !whole,
      height: LINE * Math.max(...all.map((l) => l.length)),
      width: Math.max(...all.flat().map(long)),
    };
  }

  // lists what letters stand for, below a chart
  function explain(element, keys) {
    const figure = element.parentElement;
    figure.querySelectorAll("dl.key").forEach((k) => k.remove());
    if (!keys.length) { return; }
    const list = document.createElement("dl");
    list.className = "key";
    keys.forEach(([letter, name]) => {
      const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = letter;
      dd.textContent = name;
      row.append(dt, dd);
      list.append(row);
    });
    element.after(list);
  }

  const base = () => ({
    color: colors,
    animation: false,
    textStyle: { fontFamily: FONT, color: text },
    aria: { enabled: true },
    tooltip: { backgroundColor: card, borderColor: line, textStyle: { color: text, fontSize: 13 }, confine: true },
  });
  const axis = (extra) => Object.assign({
    axisLine: { lineStyle: { color: muted } }, axisTick: { show: false },
    axisLabel: { color: muted }, nameTextStyle: { color: muted },
    splitLine: { lineStyle: { color: line } },
  }, extra);

  // a whisker from the low to the high end of each interval, over the bar that it belongs to
  function whiskers(group, groups, values) {
    return {
      type: "custom", silent: true, z: 5, tooltip: { show: false },
      itemStyle: { color: text },
      data: values.map((v, i) => [i, v[1], v[2]]).filter((v) => v[1] !== null),
      renderItem: (params, api) => {
        const layout = api.barLayout({ count: groups, barGap: "8%", barCategoryGap: "26%" })[group];
        const low = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), api.value(2)]);
        const x = low[0] + layout.offsetCenter, cap = Math.min(4, layout.width / 3);
        const style = { stroke: text, lineWidth: 1.2, fill: null };
        return { type: "group", children: [
          { type: "line", shape: { x1: x, y1: low[1], x2: x, y2: high[1] }, style },
          { type: "line", shape: { x1: x - cap, y1: low[1], x2: x + cap, y2: low[1] }, style },
          { type: "line", shape: { x1: x - cap, y1: high[1], x2: x + cap, y2: high[1] }, style },
        ] };
      },
    };
  }

  const charts = {
    scores(index, width) {
      const names = labels(data.scores.categories, (width - 56) / data.scores.categories.length);
      const groups = data.scores.series;
      const series = [];
      groups.forEach((g, i) => {
        series.push({
          name: g.name, type: "bar", barGap: "8%", barCategoryGap: "26%",
          itemStyle: { color: g.untuned ? grey : colors[(data.scores.untuned ? i - 1 : i) % colors.length], borderRadius: [2, 2, 0, 0] },
          data: g.values.map((v) => v[0]),
        });
      });
      groups.forEach((g, i) => series.push(whiskers(i, groups.length, g.values)));
      return Object.assign(base(), {
        keys: names,
        grid: { left: 48, right: 8, top: 12, bottom: names.height + 14 },
        tooltip: Object.assign(base().tooltip, {
          trigger: "axis", axisPointer: { type: "shadow" },
          formatter: (items) => "<b>" + escape(data.scores.categories[items[0].dataIndex]) + "</b>" + groups.map((g) => {
            const v = g.values[items[0].dataIndex];
            return v[0] === null ? "" : "<br>" + escape(g.name) + ": <b>" + fixed(v[0]) + "</b> [" + fixed(v[1]) + ", " + fixed(v[2]) + "]";
          }).join(""),
        }),
        xAxis: axis({ type: "category", data: names.texts, splitLine: { show: false },
          axisLabel: { color: text, interval: 0, fontSize: LABEL, lineHeight: LINE } }),
        yAxis: axis({ type: "value", min: 0, max: Math.min(1, Math.ceil(10 * Math.max(...groups.flatMap((g) => g.values.map((v) => v[2])))) / 10) }),
        series,
      });
    },
    costs(index, width) {
      const points = data.costs;
      const low = Math.min(...points.map((p) => p.low)), high = Math.max(...points.map((p) => p.high));
      return Object.assign(base(), {
        grid: { left: 48, right: 24, top: 12, bottom: 48 },
        tooltip: Object.assign(base().tooltip, {
          formatter: (p) => { const c = points[p.dataIndex]; return "<b>" + escape(c.name) + "</b><br>average " + fixed(c.score)
            + " [" + fixed(c.low) + ", " + fixed(c.high) + "]<br>" + c.seconds.toFixed(1) + " s of training"; },
        }),
        xAxis: axis({ type: "value", name: "seconds of training", nameLocation: "middle", nameGap: 28, min: 0, max: (v) => v.max * 1.15,
          splitNumber: width < 450 ? 4 : 8, axisLabel: { color: muted, showMaxLabel: false, hideOverlap: true } }),
        yAxis: axis({ type: "value", 
          min: Math.max(0, Math.floor(low * 10 - 0.2) / 10), max: Math.min(1, Math.ceil(high * 10 + 0.2) / 10) }),
        series: [
          { type: "custom", silent: true, data: points.map((p) => [p.seconds, p.low, p.high]),
            renderItem: (params, api) => {
              const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(0), api.value(2)]);
              const style = { stroke: colors[params.dataIndex % colors.length], lineWidth: 2 };
              return { type: "line", shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style };
            } },
          { type: "scatter", symbolSize: 15,
            data: points.map((p, i) => ({ value: [p.seconds, p.score], itemStyle: { color: colors[i % colors.length] } })) },
        ],
      });
    },
    losses(index, width) {
      const run = data.losses[index];
      return Object.assign(base(), {
        grid: { left: 36, right: 24, top: 12, bottom: 48 },
        tooltip: Object.assign(base().tooltip, { trigger: "axis", valueFormatter: (v) => (v == null ? "" : fixed(v)) }),
        xAxis: axis({ type: "value", name: "tokens trained on", nameLocation: "middle", nameGap: 28, min: 0, max: run.tokens,
          splitNumber: width < 450 ? 3 : 5, splitLine: { show: false }, axisLabel: { color: muted, hideOverlap: true,
            formatter: (v) => (v >= 1e6 ? v / 1e6 + "M" : v >= 1000 ? Math.round(v / 1000) + "k" : v) } }),
        yAxis: axis({ type: "value", min: 0, max: data.mostLoss }),
        series: run.series.map((s) => ({
          name: s.task, type: "line", showSymbol: false, lineStyle: { width: 2 },
          itemStyle: { color: colors[data.tasks.indexOf(s.task) % colors.length] }, data: s.points,
          markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: muted, type: "dashed" },
            data: run.stageEnds.map((t) => ({ xAxis: t })) },
        })),
      });
    },
    heat(index, width) { return heat(data.stages[index], width, { min: 0, max: data.mostScore }, dark
      ? ["#1b2a3a", "#1f5f93", "#56B4E9", "#d9f0ff"] : ["#f1f6fa", "#9ccbe8", "#2c86c0", "#08406b"]); },
    similarity(index, width) { return heat(data.similarity[index], width, { min: -1, max: 1 }, dark
      ? ["#d9742b", "#5a3a28", "#242d37", "#22506f", "#6cc0f5"] : ["#b5520b", "#f2c9a5", "#ffffff", "#a9cfe8", "#08569b"]); },
  };

  function heat(matrix, width, range, ramp) {
    const rows = labels(matrix.rows, Math.min(130, width * 0.3), matrix.rows.join() !== matrix.columns.join());
    const left = rows.width + 12, right = 8;
    const cell = (width - left - right) / matrix.columns.length;
    const columns = labels(matrix.columns, cell);
    const cells = [];
    matrix.values.forEach((row, y) => row.forEach((v, x) => { if (v !== null) { cells.push([x, y, v]); } }));
    const middle = (v) => (v - range.min) / (range.max - range.min);
    return Object.assign(base(), {
      keys: columns,
      moreKeys: rows,
      tall: columns.height + 20 + matrix.rows.length * Math.max(34, rows.height + 8),
      grid: { left, right, top: columns.height + 12, bottom: 4 },
      tooltip: Object.assign(base().tooltip, {
        formatter: (p) => escape(matrix.rows[p.value[1]]) + " / " + escape(matrix.columns[p.value[0]]) + ": <b>" + fixed(p.value[2]) + "</b>",
      }),
      xAxis: axis({ type: "category", data: columns.texts, position: "top", splitLine: { show: false }, axisLine: { show: false },
        axisLabel: { color: text, interval: 0, fontSize: LABEL, lineHeight: LINE } }),
      yAxis: axis({ type: "category", data: rows.texts, inverse: true, splitLine: { show: false }, axisLine: { show: false },
        axisLabel: { color: text, interval: 0, fontSize: LABEL, lineHeight: LINE } }),
      visualMap: Object.assign({ show: false, inRange: { color: ramp } }, range),
      series: [{
        type: "heatmap", itemStyle: { borderColor: card, borderWidth: 2 },
        // dark text on light cells and light text on dark ones
        data: cells.map((c) => {
          const m = middle(c[2]), strong = matrix.diverging ? Math.abs(2 * m - 1) > 0.65 : m > 0.55;
          return { value: c, label: { color: strong !== dark ? "#ffffff" : (dark && strong ? "#10161c" : text) } };
        }),
        label: { show: cell >= 32, fontSize: 12, formatter: (p) => p.value[2].toFixed(2) },
      }],
    });
  }

  document.documentElement.classList.remove("no-js");
  document.querySelectorAll("details").forEach((d) => d.removeAttribute("open"));
  document.querySelectorAll(".chart").forEach((element) => {
    const [kind, index] = element.dataset.chart.split(" ");
    const chart = echarts.init(element, null, { renderer: "svg" });
    let drawn = 0;
    const draw = () => {
      const width = element.clientWidth;
      if (!width || width === drawn) { return; }
      drawn = width;
      const { keys, moreKeys, tall, ...option } = charts[kind](Number(index), width);
      if (tall) { element.style.height = Math.max(240, tall) + "px"; }
      // rows and columns may have different names: each of them is explained once
      const explained = new Map();
      [keys, moreKeys].forEach((k) => { if (k && k.keyed) { k.texts.forEach((t, i) => explained.set(t + " " + k.names[i], [t, k.names[i]])); } });
      explain(element, [...explained.values()]);
      chart.resize();
      chart.setOption(option, true);
    };
    draw();
    new ResizeObserver(draw).observe(element);
  });
})();
