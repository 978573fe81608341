"""What the reports of evaluations add to the style sheet of all reports."""

from __future__ import annotations

CSS = """
main { max-width: 1180px; }
.lead { font-size: 1.02rem; max-width: none; }
.interval { display: block; width: 100%; min-width: 120px; height: 22px;
  overflow: visible; }
.interval line { vector-effect: non-scaling-stroke; }
.interval .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
.interval .reach { stroke: var(--bar); stroke-width: 3; stroke-linecap: round; }
.interval .dot { stroke: var(--accent); stroke-width: 10; stroke-linecap: round; }
.interval.good .reach, .interval.good .dot { stroke: var(--good); }
.interval.bad .reach, .interval.bad .dot { stroke: var(--error); }
.ticks { position: relative; height: 1.25em; font-weight: 400; font-size: .75rem;
  color: var(--soft); font-variant-numeric: tabular-nums; margin: 0 1.2em; }
.ticks span { position: absolute; transform: translateX(-50%); }
.figures { table-layout: fixed; }
.figures + .figures { margin-top: 14px; }
.figures td { vertical-align: middle; }
.figures th:first-child { width: 29%; } .figures th.n { width: 9%; }
.figures th.ends { width: 16%; } .figures th.plot { width: 28%; }
.figures.compared th:first-child { width: 18%; } .figures.compared th.n { width: 8.5%; }
.figures.compared th.ends { width: 13%; } .figures.compared th.plot { width: 23%; }
.figures.compared th.bar { width: 130px; }
.figures td.plot { padding-left: 1.2em; padding-right: calc(1.2em + 14px); }
.figures .note td { border-bottom: 1px solid var(--rule); padding-top: 0; color: var(--soft);
  font-size: .84rem; }
.figures tr.has-note td { border-bottom: 0; padding-bottom: 1px; }
.wins { display: flex; height: 9px; width: 110px; border-radius: 5px; overflow: hidden;
  background: var(--rule); }
.wins b { display: block; height: 100%; }
.wins .won { background: var(--trained-line); } .wins .lost { background: var(--limit); }
.wins .tied { background: var(--rule); }
.matrix { width: auto; } .matrix td, .matrix th { padding: 4px 10px; text-align: right;
  font-variant-numeric: tabular-nums; border: 1px solid var(--rule); white-space: nowrap; }
.matrix th { text-align: right; background: none; }
.matrix tr:last-child td { border-bottom: 1px solid var(--rule); }
.matrix td.hit { font-weight: 700; }
.turn { border-left: 3px solid var(--rule); padding: 2px 0 2px 12px; margin: 8px 0 8px 4px; }
.turn > b { display: block; color: var(--soft); font-size: .78rem; font-weight: 600; }
.turn.answer { border-color: var(--accent); } .turn.reference { border-color: var(--trained-line); }
.turn.failure { border-color: var(--error); }
.said { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; max-height: 26rem;
  overflow-y: auto; }
.side { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 18px; }
.side > div { min-width: 0; }
.item { padding: 0 0 10px 20px; }
.score { border-top: 1px solid var(--rule); padding: 5px 0; display: flex; flex-wrap: wrap;
  gap: 2px 12px; align-items: baseline; font-size: .9rem; }
.score > b { min-width: 8rem; } .score > .why { flex: 1 1 14rem; min-width: 0;
  overflow-wrap: anywhere; } .score > details { flex: 1 1 100%; }
.score > details > summary { padding: 2px 0; }
.scores { margin-top: 8px; border-bottom: 1px solid var(--rule); }
.transcript { font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: 4px 0 8px;
  padding: 8px 10px; background: var(--page); border-radius: 6px; max-height: 30rem;
  overflow-y: auto; }
.item details, .item details:last-of-type { border: 0; }
del { background: var(--error-back); color: var(--error); }
ins { background: var(--trained); color: var(--trained-ink); text-decoration: none; }
@media (max-width: 700px) { .side { grid-template-columns: 1fr; } .wide { display: none; }
  .figures, .figures.compared { table-layout: auto; }
  .figures th, .figures.compared th { width: auto !important; }
  .figures td.n, .pill { white-space: normal; } }
@media print { .said, .transcript { max-height: none; } }
"""
