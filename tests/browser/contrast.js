// Every text of the page whose contrast is under that of WCAG AA, said as "ratio text [element]".
() => {
  const luminance = color => {
    const [r, g, b] = color.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parsed = text => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, alpha, under) => under.map((v, i) => alpha * top[i] + (1 - alpha) * v);
  const behind = element => {
    const layers = [];
    for (; element; element = element.parentElement) {
      const color = parsed(getComputedStyle(element).backgroundColor), alpha = color[3] ?? 1;
      if (alpha > 0) layers.unshift([color, alpha]);
      if (alpha === 1) break;
    }
    return layers.reduce((under, [color, alpha]) => over(color, alpha, under), [255, 255, 255]);
  };
  // What is disabled is exempt; the value over a slider's thumb stands above it, not on it.
  const exempt = "script, style, noscript, canvas, [disabled], [aria-disabled='true'], [aria-hidden='true'], "
    + "[data-testid='stSliderThumbValue']";
  const faint = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || !element || element.closest(exempt)) continue;
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (!box.width || !box.height || style.visibility === "hidden" || /Material/.test(style.fontFamily)) continue;
    const drawn = element instanceof SVGElement, color = parsed(drawn ? style.fill : style.color);
    let alpha = (color[3] ?? 1) * (drawn ? Number(style.fillOpacity) : 1);
    for (let e = element; e; e = e.parentElement) alpha *= Number(getComputedStyle(e).opacity);
    if (alpha < 0.05) continue;
    const under = behind(drawn ? element.ownerSVGElement.parentElement : element);
    const [low, high] = [luminance(over(color, alpha, under)), luminance(under)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.add(`${ratio.toFixed(2)} ${text.slice(0, 40)} [${element.tagName}]`);
  }
  return [...faint];
}
