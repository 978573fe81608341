"""The style sheet of the HTML report: light and dark, wide and narrow, screen and paper."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --shade: rgb(0 0 0 / .18);
  --page: #f6f6f3; --card: #ffffff; --ink: #1d1f21; --soft: #5f6468; --rule: #dcdcd6;
  --bar: #4a7fb5; --limit: #b3261e; --accent: #2f6db0;
  --error: #b3261e; --error-back: #fbe9e7; --warning: #805800; --warning-back: #fdf3d7;
  --good: #1e6b3a; --good-back: #e2f3e7;
  --trained: #bfe8c9; --trained-ink: #0c3a1c; --trained-line: #2e8b4f;
  --control: #7a3fa8; --control-back: #f0e6f8; --over: #b3261e;
}
@media (prefers-color-scheme: dark) { :root {
  --shade: rgb(0 0 0 / .7);
  --page: #16181a; --card: #1f2225; --ink: #e6e6e3; --soft: #a2a7ab; --rule: #363a3e;
  --bar: #6fa3d8; --limit: #ff8a80; --accent: #8ab8e8;
  --error: #ff9d94; --error-back: #40201d; --warning: #f0c466; --warning-back: #3a2f14;
  --good: #8fd6a5; --good-back: #1b3524;
  --trained: #1f5130; --trained-ink: #d9f7e2; --trained-line: #4fb877;
  --control: #d0a6f2; --control-back: #382748; --over: #ff8a80;
} }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; line-height: 1.3; }
h3 { font-size: .95rem; margin: 28px 0 10px; }
p { margin: 6px 0; max-width: 75ch; }
.soft { color: var(--soft); }
.small { font-size: .85rem; }
code, .mono, .spans { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
  monospace; font-size: .86em; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 18px 20px; margin-top: 18px; }
.head { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: baseline; }
.pill { display: inline-block; border-radius: 99px; padding: 1px 10px; font-size: .82rem;
  font-weight: 600; white-space: nowrap; }
.pill.error { color: var(--error); background: var(--error-back); }
.pill.warning { color: var(--warning); background: var(--warning-back); }
.pill.good { color: var(--good); background: var(--good-back); }
.pill.plain { color: var(--soft); border: 1px solid var(--rule); font-weight: 400; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 16px; }
.tile { flex: 1 1 124px; max-width: 230px;
  border: 1px solid var(--rule); border-radius: 8px; padding: 8px 12px; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums;
  line-height: 1.3; }
.tile span { color: var(--soft); font-size: .82rem; }
nav { margin-top: 14px; display: flex; flex-wrap: wrap; gap: 4px 16px; }
nav a { overflow-wrap: anywhere; }
a { color: var(--accent); }
details { border-top: 1px solid var(--rule); }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; padding: 9px 2px; display: flex; flex-wrap: wrap; gap: 4px 10px;
  align-items: baseline; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary::before { content: "\\25b8"; color: var(--soft); width: .8em; }
details[open] > summary::before { content: "\\25be"; }
summary .first { flex: 1 1 18rem; min-width: 0; overflow-wrap: anywhere; }
.hint { margin: 0 0 10px 22px; }
.scroll { overflow: auto; max-height: 24rem; margin-bottom: 12px; }
.scroll, .spans { /* A shadow at the edge behind which more is to be read. */
  background: linear-gradient(var(--card) 40%, transparent) top/100% 36px no-repeat local,
    linear-gradient(transparent, var(--card) 60%) bottom/100% 36px no-repeat local,
    linear-gradient(var(--shade), transparent) top/100% 12px no-repeat scroll,
    linear-gradient(transparent, var(--shade)) bottom/100% 12px no-repeat scroll; }
thead th { position: sticky; top: 0; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
.problems { margin: 0 0 2px 22px; width: calc(100% - 22px); }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8rem; }
th, td { padding: 5px 14px 5px 0; vertical-align: top; border-bottom: 1px solid var(--rule); }
tr:last-child td { border-bottom: 0; }
td { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
  overflow-wrap: normal; }
.plan td { white-space: nowrap; overflow-wrap: normal; }
td.path { min-width: 9rem; }
td.words { min-width: 14rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr));
  gap: 22px 28px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .88rem; font-weight: 600; margin-bottom: 6px; }
.chart { display: block; width: 100%; height: 110px; border-bottom: 1px solid var(--soft); }
.bar { fill: var(--bar); }
.hover { fill: transparent; }
g:hover .bar { fill: var(--accent); }
.limit { stroke: var(--limit); stroke-width: 2; stroke-dasharray: 5 3;
  vector-effect: non-scaling-stroke; }
.axis { position: relative; height: 1.3em; font-size: .75rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.axis span { position: absolute; top: 1px; }
.below { font-size: .82rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.fits { display: grid; grid-template-columns: max-content 1fr max-content; gap: 3px 10px;
  align-items: center; font-size: .82rem; font-variant-numeric: tabular-nums; }
.fits i { display: block; height: 8px; border-radius: 4px; background: var(--rule);
  overflow: hidden; }
.fits i b { display: block; height: 100%; background: var(--bar); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 16px; margin: 0 0 8px; font-size: .85rem; }
.sample { border: 1px solid var(--rule); border-radius: 8px; margin-top: 12px; overflow: hidden; }
.sample header { padding: 8px 12px; border-bottom: 1px solid var(--rule); display: flex;
  flex-wrap: wrap; gap: 2px 12px; align-items: baseline; font-size: .88rem; }
.share { height: 4px; background: var(--rule); }
.share b { display: block; height: 100%; background: var(--trained-line); }
.spans { padding: 12px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 34rem;
  overflow-y: auto; line-height: 1.65; font-size: .85rem; }
.t { background: var(--trained); color: var(--trained-ink);
  box-shadow: 0 2px 0 var(--trained-line); box-decoration-break: clone;
  -webkit-box-decoration-break: clone; padding: 1px 0; }
.c { color: var(--control); background: var(--control-back); border-radius: 4px; padding: 0 3px;
  margin: 0 1px; }
.c.t { color: var(--control); background: var(--trained); }
.o, .o.t, .o.c { color: var(--over); background: none;
  box-shadow: 0 2px 0 var(--over); }
.spans details, .spans details:last-of-type { border: 0; display: block; margin: 4px 0; }
.spans summary { padding: 2px 0; color: var(--soft); font-style: italic; }
.gap { display: block; color: var(--soft); font-style: italic; margin: 8px 0; }
.learns { display: block; margin-top: 8px; font-weight: 600; }
.alarm { border-left: 4px solid; padding: 6px 12px; margin: 8px 0; border-radius: 4px; }
.alarm.error { border-color: var(--error); background: var(--error-back); }
.alarm.warning { border-color: var(--warning); background: var(--warning-back); }
footer { margin-top: 26px; color: var(--soft); font-size: .82rem; }
@media (max-width: 560px) {
  main { padding: 14px 10px 40px; }
  .card { padding: 14px 12px; }
  .problems, .hint { margin-left: 0; width: 100%; }
}
@media print {
  body { background: none; }
  .card, .sample { break-inside: avoid; }
  .spans, .scroll { max-height: none; overflow: visible; }
}
"""
