// Tabs of the report: one panel at a time, with the arrow keys as well.
"use strict";
for (const tabs of document.querySelectorAll("[data-tabs]")) {
  const buttons = [...tabs.querySelectorAll("[role=tab]")];
  const panels = [...tabs.querySelectorAll("[role=tabpanel]")];
  const show = (chosen) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === chosen));
      button.tabIndex = i === chosen ? 0 : -1;
    });
    panels.forEach((panel, i) => { panel.hidden = i !== chosen; });
  };
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => show(i));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      const next = (i + step + buttons.length) % buttons.length;
      show(next);
      buttons[next].focus();
      event.preventDefault();
    });
  });
  show(0);
}
