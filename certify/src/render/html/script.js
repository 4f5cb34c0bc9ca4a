(() => {
  "use strict";
  const cells = [...document.querySelectorAll("details.cell")];
  const text = document.getElementById("filter-text");
  const boxes = [...document.querySelectorAll('input[name="outcome"]')];
  const nothing = document.querySelector(".nothing");
  const expand = document.getElementById("expand");

  // A cell is shown when its name matches, or one of its cases does; its cases by outcome, too.
  // Where a case is what matches, it is unfolded, and folded again when nothing is looked for.
  const unfolded = new Set();
  const unfold = (element) => {
    if (element.open) return;
    element.open = true;
    unfolded.add(element);
  };
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const isNarrowed = words.length > 0 || outcomes.size < boxes.length;
    const isAboutCases = outcomes.size < boxes.length;
    let shown = 0;
    unfolded.forEach((element) => { element.open = false; });
    unfolded.clear();
    for (const cell of cells) {
      const name = cell.querySelector("summary").textContent.toLowerCase();
      const rest = words.filter((word) => !name.includes(word));
      const rows = [...cell.querySelectorAll("tr.case")];
      let matches = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        row.hidden = !(outcomes.has(row.dataset.outcome) && rest.every((word) => content.includes(word)));
        if (!row.hidden) matches += 1;
      }
      for (const table of cell.querySelectorAll("table.cases")) {
        table.hidden = !table.querySelector("tr.case:not([hidden])");
      }
      cell.hidden = isNarrowed && matches === 0 && !(rows.length === 0 && rest.length === 0 && outcomes.size === boxes.length);
      if (!cell.hidden) shown += 1;
      if (matches > 0 && (rest.length > 0 || isAboutCases)) {
        unfold(cell);
        for (const more of cell.querySelectorAll("details.more")) {
          if (more.querySelector("tr.case:not([hidden])")) unfold(more);
        }
      }
    }
    nothing.hidden = shown > 0;
  };

  const openTarget = () => {
    const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const target = named && named.closest("details.cell");
    if (target) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  };

  text.addEventListener("input", filter);
  boxes.forEach((box) => box.addEventListener("change", filter));
  document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("a.cell").forEach((link) => link.addEventListener("click", () => setTimeout(openTarget)));
  window.addEventListener("hashchange", openTarget);
  expand.addEventListener("click", () => {
    const open = cells.some((cell) => !cell.hidden && !cell.open);
    cells.forEach((cell) => { if (!cell.hidden) cell.open = open; });
    expand.textContent = open ? "Close all" : "Open all";
  });

  openTarget();
})();
