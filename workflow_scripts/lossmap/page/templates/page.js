// Shows the interactive figures. Each brings its menus and its slider in plotly's own words; they
// become elements of the page, for keyboards, screen readers and fingers.
const ink = () => getComputedStyle(document.body).color;

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function labeled(text, control) {
  return element("label", {}, text + " ", control);
}

function menu(plot, {name, buttons}) {
  const choice = element("select", {},
    ...buttons.map((button, index) => element("option", {value: index}, button.label)));
  choice.addEventListener("change", () => {
    const {method, args} = buttons[choice.value];
    Plotly[method](plot, ...structuredClone(args));
  });
  return labeled(name, choice);
}

function slider(plot, {name, steps, active}) {
  const range = element("input", {type: "range", min: 0, max: steps.length - 1, value: active ?? 0});
  const shown = element("output", {}, steps[range.value].label);
  const move = () => {
    const {label, method, args} = steps[range.value];
    shown.textContent = label;
    range.setAttribute("aria-valuetext", label);
    return Plotly[method](plot, ...structuredClone(args));
  };
  range.addEventListener("input", move);
  range.setAttribute("aria-valuetext", shown.textContent);
  const play = element("button", {type: "button"}, "Play");
  let playing = null;
  const stop = () => { clearInterval(playing); playing = null; play.textContent = "Play"; };
  const advance = () => {
    if (!plot.isConnected || !range.isConnected) return stop();
    range.value = (Number(range.value) + 1) % steps.length;
    move();
    if (Number(range.value) === steps.length - 1) stop();
  };
  play.addEventListener("click", () => {
    if (playing) return stop();
    play.textContent = "Pause";
    playing = setInterval(advance, 400);
  });
  return [labeled(name, range), shown, play];
}

function narrow(data, layout) {
  layout.showlegend = false;
  for (const trace of data) {
    const bar = trace.colorbar ?? trace.marker?.colorbar;
    if (bar) Object.assign(bar, {orientation: "h", y: -0.15, thickness: 12, len: 0.9});
  }
}

async function show(viewer) {
  const plot = viewer.querySelector(".plot");
  const choice = viewer.querySelector(".choice");
  const source = viewer.querySelectorAll("script.view")[choice.value];
  const {data, layout, frames} = JSON.parse(source.textContent);
  const {updatemenus = [], sliders = [], ...bare} = layout;
  if (plot.clientWidth < 600) narrow(data, bare);
  const fonts = {font: {color: ink(), family: "system-ui, sans-serif"}};
  Plotly.purge(plot);
  await Plotly.newPlot(plot, data, {...bare, ...fonts, autosize: true},
    {responsive: true, displaylogo: false, scrollZoom: true});
  if (frames?.length) await Plotly.addFrames(plot, frames);
  const controls = viewer.querySelector(".controls");
  controls.replaceChildren(choice.parentElement,
    ...updatemenus.map((each) => menu(plot, each)),
    ...sliders.filter((each) => each.visible !== false).flatMap((each) => slider(plot, each)));
}

const near = new IntersectionObserver((entries) => {
  for (const {target, isIntersecting} of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    show(target);
  }
}, {rootMargin: "200px"});

for (const viewer of document.querySelectorAll(".viewer")) {
  viewer.querySelector(".choice").addEventListener("change", () => show(viewer));
  near.observe(viewer);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of document.querySelectorAll(".plot.js-plotly-plot"))
    Plotly.relayout(plot, {"font.color": ink()});
});

for (const link of document.querySelectorAll("a.picture")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const large = document.getElementById(link.hash.slice(1));
    if (!large.querySelector("img")) large.append(link.querySelector("img").cloneNode());
    large.showModal();
  });
}
