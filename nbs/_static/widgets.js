// ipywidgets sets its labels through the queue of MathJax 2; the book draws its mathematics with MathJax 3, which has none
(() => {
  const withQueue = (m) => {
    if (m && !m.Hub) m.Hub = { Queue: (job) => m.startup?.promise?.then(() => m.typesetPromise([job[2]])) };
    return m;
  };
  let mathjax = withQueue(window.MathJax);
  Object.defineProperty(window, "MathJax", { configurable: true, get: () => mathjax, set: (m) => { mathjax = withQueue(m); } });
})();
