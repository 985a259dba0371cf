// Names of a map's regions by zoom. A figure carries them in layout.meta.names: the ranges of the whole picture and, for
// each level, from which zoom on it holds and its names, those of the largest regions first. Streamlit tells a page
// nothing of a zoom, so the browser writes them itself, over the plot and below its hover texts; the annotations of the
// whole picture, which a saved image and a slide have too, make room meanwhile.
(() => {
    if (window.llmesrNames) return;
    window.llmesrNames = true;
    const LINE = 18, EDGE = 4;  // pixels
    const pen = document.createElement("canvas").getContext("2d");

    function seen(plot) {
        // Where the plot is drawn, in pixels of its box, and what part of the picture it shows.
        const full = plot._fullLayout, axes = full && [full.xaxis, full.yaxis];
        if (!axes || !axes[0] || !axes[1]) return null;
        const [x, y] = axes.map((axis) => axis.range.map(Number));
        return { left: full._size.l, top: full._size.t, width: full._size.w, height: full._size.h, x, y };
    }

    function enlarged(at, whole) {
        // How many times as large as the whole picture would be in this box; a unit is as long on both axes.
        const home = Math.min(at.width / (whole.x[1] - whole.x[0]), at.height / (whole.y[1] - whole.y[0]));
        return at.width / Math.abs(at.x[1] - at.x[0]) / home;
    }

    function placed(names, at, font) {
        // The names inside the box that do not lie on one another, each once.
        const kept = [];
        pen.font = font;
        for (const [x, y, text] of names) {
            const across = (x - at.x[0]) / (at.x[1] - at.x[0]), up = (y - at.y[0]) / (at.y[1] - at.y[0]);
            if (across < 0 || across > 1 || up < 0 || up > 1) continue;
            const wide = Math.min(pen.measureText(text).width + 2 * EDGE, at.width);
            const left = Math.min(Math.max(across * at.width - wide / 2, 0), at.width - wide);
            const top = Math.min(Math.max((1 - up) * at.height - LINE - 6, 0), at.height - LINE);
            const apart = (o) => left + wide < o.left || o.left + o.wide < left || Math.abs(top - o.top) > LINE;
            if (kept.every((o) => o.text !== text && apart(o))) kept.push({ text, left, top, wide });
        }
        return kept;
    }

    function write(plot) {
        const said = plot.layout?.meta?.names, at = seen(plot), box = plot.querySelector(".svg-container");
        let over = plot.querySelector(".map-names");
        if (!said || !at || !box) return void over?.remove();
        const zoom = enlarged(at, said);
        const level = said.levels.filter((candidate) => candidate.from <= zoom).at(-1);
        for (const name of plot.querySelectorAll(".infolayer .annotation")) {
            name.style.visibility = level ? "hidden" : "";
        }
        if (!level) return void over?.remove();
        if (!over) {
            over = document.createElement("div");
            over.className = "map-names";
            over.setAttribute("aria-hidden", "true");  // the table of the selected says it all
            box.insertBefore(over, [...box.querySelectorAll(":scope > .main-svg")].at(-1) ?? null);
        }
        const font = `12px ${getComputedStyle(plot).fontFamily}`;
        over.style.cssText = `position: absolute; pointer-events: none; overflow: hidden; font: ${font};
            left: ${at.left}px; top: ${at.top}px; width: ${at.width}px; height: ${at.height}px`;
        over.replaceChildren(...placed(level.names, at, font).map((name) => {
            const label = document.createElement("span");
            label.textContent = name.text;
            label.style.cssText = `position: absolute; white-space: nowrap; line-height: ${LINE}px; padding: 0 ${EDGE}px;
                left: ${name.left}px; top: ${name.top}px; color: ${said.color}; background: ${said.background}`;
            return label;
        }));
    }

    const known = new WeakSet();
    function look() {
        for (const plot of document.querySelectorAll('[class*="st-key-map-"] .js-plotly-plot')) {
            if (known.has(plot) || !plot.on) continue;
            known.add(plot);
            for (const event of ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"]) {
                plot.on(event, () => write(plot));
            }
            write(plot);
        }
    }
    let due = false;
    new MutationObserver(() => {
        if (due) return;
        due = true;
        requestAnimationFrame(() => { due = false; look(); });
    }).observe(document.body, { childList: true, subtree: true });
    look();

    // A wheel over a map moves the page, as everywhere; with Ctrl, or two fingers, it zooms.
    document.addEventListener("wheel", (event) => {
        const map = event.target.closest?.(".st-key-map-left, .st-key-map-right");
        if (map && !event.ctrlKey && !event.metaKey) event.stopPropagation();
    }, { capture: true, passive: true });
})();
