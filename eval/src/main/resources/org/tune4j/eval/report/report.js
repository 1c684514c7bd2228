"use strict";
// Draws the charts from the JSON beside it. Every number is in a table of the page as well.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const text = css("--text"), muted = css("--muted"), line = css("--line"), card = css("--card");
  // Okabe and Ito's colours, told apart with every kind of colour vision
  const colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#882255"];
  const grey = dark ? "#8793a1" : "#9aa5b1";
  const fixed = (v) => v.toFixed(3);
  const escape = (s) => echarts.format.encodeHTML(String(s));
  const narrow = () => window.innerWidth < 600;

  const base = () => ({
    color: colors,
    animation: false,
    textStyle: { fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", color: text },
    aria: { enabled: true },
    tooltip: { backgroundColor: card, borderColor: line, textStyle: { color: text, fontSize: 13 }, confine: true },
  });
  const axis = (extra) => Object.assign({
    axisLine: { lineStyle: { color: muted } }, axisTick: { show: false },
    axisLabel: { color: muted }, nameTextStyle: { color: muted },
    splitLine: { lineStyle: { color: line } },
  }, extra);
  const legend = (extra) => Object.assign({ top: 0, left: 0, itemWidth: 14, itemHeight: 10, textStyle: { color: text } }, extra);

  // a whisker from the low to the high end of each interval, over the bar that it belongs to
  function whiskers(group, groups, values) {
    return {
      type: "custom", silent: true, z: 5, tooltip: { show: false },
      itemStyle: { color: text },
      data: values.map((v, i) => [i, v[1], v[2]]),
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
    scores() {
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
        legend: legend({ data: groups.map((g) => g.name) }),
        grid: { left: 8, right: 8, top: 40, bottom: 10, containLabel: true },
        tooltip: Object.assign(base().tooltip, {
          trigger: "axis", axisPointer: { type: "shadow" },
          formatter: (items) => "<b>" + escape(items[0].axisValue) + "</b>" + groups.map((g) => {
            const v = g.values[items[0].dataIndex];
            return "<br>" + escape(g.name) + ": <b>" + fixed(v[0]) + "</b> [" + fixed(v[1]) + ", " + fixed(v[2]) + "]";
          }).join(""),
        }),
        xAxis: axis({ type: "category", data: data.scores.categories, splitLine: { show: false },
          axisLabel: { color: text, interval: 0, rotate: narrow() ? 35 : 0 } }),
        yAxis: axis({ type: "value", min: 0, max: Math.min(1, Math.ceil(10 * Math.max(...groups.flatMap((g) => g.values.map((v) => v[2])))) / 10) }),
        series,
      });
    },
    costs() {
      const points = data.costs;
      const low = Math.min(...points.map((p) => p.low)), high = Math.max(...points.map((p) => p.high));
      return Object.assign(base(), {
        grid: { left: 8, right: 24, top: 10, bottom: 26, containLabel: true },
        tooltip: Object.assign(base().tooltip, {
          formatter: (p) => { const c = points[p.dataIndex]; return "<b>" + escape(c.name) + "</b><br>average " + fixed(c.score)
            + " [" + fixed(c.low) + ", " + fixed(c.high) + "]<br>" + c.seconds.toFixed(1) + " s of training"; },
        }),
        xAxis: axis({ type: "value", name: "seconds of training", nameLocation: "middle", nameGap: 26, min: 0, max: (v) => v.max * 1.3, axisLabel: { color: muted, showMaxLabel: false } }),
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
            data: points.map((p, i) => ({ value: [p.seconds, p.score], itemStyle: { color: colors[i % colors.length] } })),
            label: { show: true, position: "right", color: text, formatter: (p) => points[p.dataIndex].name },
            labelLayout: { moveOverlap: "shiftY" } },
        ],
      });
    },
    losses(index) {
      const run = data.losses[index];
      return Object.assign(base(), {
        legend: legend({ icon: "roundRect", itemHeight: 3, data: run.series.map((s) => s.task) }),
        grid: { left: 4, right: 14, top: 52, bottom: 24, containLabel: true },
        tooltip: Object.assign(base().tooltip, { trigger: "axis", valueFormatter: (v) => (v == null ? "" : fixed(v)) }),
        xAxis: axis({ type: "value", name: "tokens trained on", nameLocation: "middle", nameGap: 24, min: 0, max: run.tokens,
          splitLine: { show: false }, axisLabel: { color: muted, hideOverlap: true,
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
    heat(index) { return heat(data.stages[index], { min: 0, max: data.mostScore }, dark
      ? ["#1b2a3a", "#1f5f93", "#56B4E9", "#d9f0ff"] : ["#f1f6fa", "#9ccbe8", "#2c86c0", "#08406b"]); },
    similarity(index) { return heat(data.similarity[index], { min: -1, max: 1 }, dark
      ? ["#d9742b", "#5a3a28", "#242d37", "#22506f", "#6cc0f5"] : ["#b5520b", "#f2c9a5", "#ffffff", "#a9cfe8", "#08569b"]); },
  };

  function heat(matrix, range, ramp) {
    const cells = [];
    matrix.values.forEach((row, y) => row.forEach((v, x) => { if (v !== null) { cells.push([x, y, v]); } }));
    const middle = (v) => (v - range.min) / (range.max - range.min);
    return Object.assign(base(), {
      grid: { left: 14, right: 24, top: 8, bottom: 4, containLabel: true },
      tooltip: Object.assign(base().tooltip, {
        formatter: (p) => escape(matrix.rows[p.value[1]]) + " / " + escape(matrix.columns[p.value[0]]) + ": <b>" + fixed(p.value[2]) + "</b>",
      }),
      xAxis: axis({ type: "category", data: matrix.columns, position: "top", splitLine: { show: false }, axisLine: { show: false },
        axisLabel: { color: text, interval: 0, rotate: 30, fontSize: 11 } }),
      yAxis: axis({ type: "category", data: matrix.rows, inverse: true, splitLine: { show: false }, axisLine: { show: false },
        axisLabel: { color: text, interval: 0, fontSize: 11 } }),
      visualMap: Object.assign({ show: false, inRange: { color: ramp } }, range),
      series: [{
        type: "heatmap", itemStyle: { borderColor: card, borderWidth: 2 },
        // dark text on light cells and light text on dark ones
        data: cells.map((c) => {
          const m = middle(c[2]), strong = matrix.diverging ? Math.abs(2 * m - 1) > 0.65 : m > 0.55;
          return { value: c, label: { color: strong !== dark ? "#ffffff" : (dark && strong ? "#10161c" : text) } };
        }),
        label: { show: true, fontSize: 12, formatter: (p) => p.value[2].toFixed(2) },
      }],
    });
  }

  document.documentElement.classList.remove("no-js");
  document.querySelectorAll("details").forEach((d) => d.removeAttribute("open"));
  document.querySelectorAll(".chart").forEach((element) => {
    const [kind, index] = element.dataset.chart.split(" ");
    const chart = echarts.init(element, null, { renderer: "svg" });
    chart.setOption(charts[kind](Number(index)));
    new ResizeObserver(() => chart.resize()).observe(element);
  });
})();
