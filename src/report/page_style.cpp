#include "report/page_style.h"

#include <fmt/format.h>

#include <string_view>

#include "report/svg_chart.h"

namespace chaski {
namespace {

constexpr std::string_view kLight =
    ":root{--bg:#f4f5f7;--card:#fff;--ink:#1b2026;--muted:#5d6773;--line:#dfe3e8;--soft:#f0f2f5;"
    "--a:#12589c;--a-soft:#e8f0f8;--b:#a15c00;--b-mark:#e08a12;--b-soft:#fdf2e1;"
    "--yes:#14713d;--yes-soft:#e3f3e9;--no:#a3261c;--no-soft:#fbe9e7;--open:#5d6773;--open-soft:#eceff2;"
    "--warn:#7a5200;--warn-soft:#fff5da;--warn-line:#e6c25c}\n";

constexpr std::string_view kDark =
    ":root{--bg:#101317;--card:#171b20;--ink:#e9edf1;--muted:#9da8b4;--line:#2c333b;--soft:#1f252c;"
    "--a:#7cc0f7;--a-soft:#14293b;--b:#f4bd62;--b-mark:#f0ad3d;--b-soft:#33260f;"
    "--yes:#6fcf97;--yes-soft:#12301f;--no:#f28b82;--no-soft:#3a1714;--open:#9da8b4;--open-soft:#262d35;"
    "--warn:#f1d27a;--warn-soft:#2c2410;--warn-line:#6b5620}\n";

constexpr std::string_view kLayout = R"(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);overflow-wrap:break-word;
font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","Microsoft YaHei","PingFang SC","WenQuanYi Micro Hei",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}
header{margin:8px 0 20px}
.eyebrow{color:var(--muted);font-size:13px;letter-spacing:.06em;margin:0}
h1{font-size:clamp(24px,4.4vw,38px);line-height:1.22;margin:6px 0 10px;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:22px;line-height:1.3;margin:0 0 12px}
h3{font-size:15px;margin:18px 0 6px}
p{margin:0 0 10px}
.muted,.note{color:var(--muted)}
.note{font-size:13.5px;margin:6px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;margin:18px 0}
.runs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(280px,100%),1fr));gap:12px}
.run{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--muted);border-radius:10px;padding:10px 14px;font-size:14px;line-height:1.5}
.run.a{border-left-color:var(--a)}.run.b{border-left-color:var(--b-mark)}
.run b{display:block;font-size:16px}h1,.run{overflow-wrap:anywhere}
.side{display:inline-block;min-width:1.6em;padding:0 .35em;border-radius:5px;font-weight:700;text-align:center;font-size:.86em}
.side.a,.side.of-a{background:var(--a-soft);color:var(--a)}.side.b,.side.of-b{background:var(--b-soft);color:var(--b)}
.lead{font-size:clamp(18px,2.5vw,22px);line-height:1.45;font-weight:600;margin:0 0 4px;text-wrap:pretty}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(165px,46%),1fr));gap:10px;margin:16px 0 6px}
.tile{background:var(--soft);border-radius:10px;padding:10px 12px}
.tile .what{font-size:13px;color:var(--muted);line-height:1.35}
.tile .figure{font-size:19px;font-weight:650;font-variant-numeric:tabular-nums;display:flex;gap:7px;align-items:baseline;line-height:1.5}
.tile .figure .side{font-size:12px}
.tile .unit{font-size:12.5px;font-weight:400;color:var(--muted)}
.claims{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(234px,100%),1fr));gap:12px;margin-top:14px}
.claim{border:1px solid var(--line);border-top:4px solid var(--open);border-radius:10px;padding:12px 14px;break-inside:avoid}
.claim.yes{border-top-color:var(--yes)}.claim.no{border-top-color:var(--no)}
.claim h3{margin:6px 0 4px;font-size:16px;line-height:1.4}
.claim p{margin:0 0 6px;font-size:14.5px;line-height:1.5}
.claim .test{font-size:12.5px;color:var(--muted);margin:0}
.badge{display:inline-block;border-radius:999px;padding:1px 10px;font-size:13px;font-weight:650;background:var(--open-soft);color:var(--open)}
.badge.yes{background:var(--yes-soft);color:var(--yes)}.badge.no{background:var(--no-soft);color:var(--no)}
.warn{background:var(--warn-soft);color:var(--warn);border:1px solid var(--warn-line);border-radius:10px;padding:9px 14px;margin:10px 0;font-size:14.5px}
ul.warns{list-style:none;padding:0;margin:0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(360px,100%),1fr));gap:26px 30px}
figure{margin:0;break-inside:avoid}
figcaption{font-weight:650;font-size:15px;margin-bottom:4px}
.chart{display:block;width:100%;height:auto;max-width:460px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:auto;min-width:min(100%,40em);font-size:14px;line-height:1.45}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--muted);font-weight:600;font-size:13px;vertical-align:bottom}
tbody th{font-weight:500;min-width:6em}
td{overflow-wrap:anywhere;min-width:6.5em}td.r{overflow-wrap:break-word;min-width:4em}
.r+td:not(.r),.r+th:not(.r){padding-left:18px}
.r{text-align:right;font-variant-numeric:tabular-nums;padding:6px 0 6px 20px}
thead .of-a{color:var(--a)}thead .of-b{color:var(--b)}
.of-p{color:var(--muted)}
.item{border-top:1px solid var(--line);padding:14px 0}
.item:first-of-type{border-top:0}
summary{cursor:pointer;font-weight:650;font-size:15.5px;padding:2px 0}
summary .n{color:var(--muted);font-weight:400}
.prompt{margin:8px 0 12px;padding:8px 14px;border-left:3px solid var(--line);color:var(--ink);white-space:pre-wrap;unicode-bidi:plaintext}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr));gap:16px}
.answer{min-width:0}
.answer .head{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;font-size:13.5px;color:var(--muted);margin-bottom:6px}
.score{font-weight:700;color:var(--ink);white-space:nowrap}
pre{margin:0;background:var(--soft);border-radius:10px;padding:12px 14px;font:inherit;font-size:14.5px;line-height:1.6;white-space:pre-wrap;overflow-wrap:anywhere;overflow:auto;contain:paint;max-height:34em;unicode-bidi:plaintext;tab-size:4}
.evidence{font-size:13.5px;margin-top:8px}
.evidence summary{font-size:13.5px;font-weight:500;color:var(--muted)}
.evidence table{font-size:13px}.evidence .r{white-space:nowrap}
footer{color:var(--muted);font-size:13px;margin-top:22px}
@media (max-width:560px){main{padding:14px 10px 40px}section{padding:16px 14px;border-radius:11px}h2{font-size:20px}
th,td{padding-right:8px}.r{padding-left:8px;padding-right:0}table{font-size:13px}}
)";

constexpr std::string_view kPrint = R"(
@page{margin:14mm}
body{font-size:10.5pt;background:#fff}main{max-width:none;padding:0}
section{border:0;border-top:1px solid #dfe3e8;border-radius:0;padding:12px 0;margin:12px 0}
section{break-inside:auto}h2,h3,summary,.answer .head{break-after:avoid}
pre{max-height:none;overflow:visible;contain:none;background:#fff;border:1px solid #dfe3e8}
.scroll{overflow:visible}tr{break-inside:avoid}
.charts{grid-template-columns:1fr 1fr}.claims{grid-template-columns:1fr 1fr}.pair{grid-template-columns:1fr 1fr}
.badge,.side,.warn,.tile,.chart *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
)";

}  // namespace

std::string page_style() {
  return fmt::format("\n{}{}{}@media screen and (prefers-color-scheme:dark){{\n{}{}}}\n@media print{{{}}}\n",
                     kLight, chart_css(false), kLayout, kDark, chart_css(true), kPrint);
}

}  // namespace chaski
