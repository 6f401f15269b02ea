// Opens pages of `indelible page` in a real browser: they are valid HTML, load nothing, print nothing to the console, fit on a phone, and
// pass the checks of accessibility, light, dark and on paper.
//   node .ci/page/check.mjs TOOLS BROWSER PICTURES|- PAGE...
// TOOLS is a folder with node_modules, BROWSER a Chromium. The pictures are of the first page.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [tools, browserPath, pictures, ...pages] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(tools), "package.json"));
const puppeteer = require("puppeteer-core");
const { HtmlValidate } = require("html-validate");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const problems = [];
const screens = [
  { name: "light", width: 1280, height: 900, scheme: "light" },
  { name: "dark", width: 1280, height: 900, scheme: "dark" },
  { name: "phone", width: 360, height: 740, scheme: "light", isMobile: true, hasTouch: true },
  { name: "narrow", width: 320, height: 600, scheme: "dark" },
  { name: "paper", width: 794, height: 1123, scheme: "light", media: "print" },
];

const validator = new HtmlValidate({ root: true, extends: ["html-validate:standard"] });
for (const file of pages) {
  const report = validator.validateStringSync(readFileSync(file, "utf8"));
  for (const message of report.results.flatMap((result) => result.messages)) {
    problems.push(`${file}:${message.line}: ${message.ruleId}: ${message.message}`);
  }
}

const browser = await puppeteer.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"],
});
try {
  for (const [place, file] of pages.entries()) {
    const url = pathToFileURL(path.resolve(file)).href;
    for (const screen of screens) {
      const where = `${file}, ${screen.name}`;
      const tab = await browser.newPage();
      tab.on("console", (message) => problems.push(`${where}: the console says ${message.text()}`));
      tab.on("pageerror", (error) => problems.push(`${where}: ${error.message}`));
      tab.on("request", (request) => {
        if (request.url() !== url) problems.push(`${where}: it loads ${request.url()}`);
      });
      await tab.setViewport({ ...screen, deviceScaleFactor: 1 });
      await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: screen.scheme }]);
      if (screen.media) await tab.emulateMediaType(screen.media);
      await tab.goto(url, { waitUntil: "load" });
      const seen = await tab.evaluate(() => ({
        sections: document.querySelectorAll("main section > h2").length,
        plots: [...document.querySelectorAll("svg.plot")].every((it) => it.getBoundingClientRect().height > 20),
        wide: document.scrollingElement.scrollWidth - window.innerWidth,
        text: document.body.innerText.length,
        scripts: document.scripts.length,
      }));
      if (seen.sections !== 6 || !seen.plots || seen.text < 200 || seen.scripts !== 0) {
        problems.push(`${where}: it is not drawn: ${JSON.stringify(seen)}`);
      }
      if (seen.wide > 0) problems.push(`${where}: it is ${seen.wide} px too wide`);
      if (pictures !== "-" && place === 0 && ["light", "dark", "phone"].includes(screen.name)) {
        await tab.screenshot({ path: path.join(pictures, `page-${screen.name}.png`) });
      }
      // The page forbids scripts; the check is one.
      const checked = await browser.newPage();
      await checked.setBypassCSP(true);
      await checked.setViewport({ ...screen, deviceScaleFactor: 1 });
      await checked.emulateMediaFeatures([{ name: "prefers-color-scheme", value: screen.scheme }]);
      if (screen.media) await checked.emulateMediaType(screen.media);
      await checked.goto(url, { waitUntil: "load" });
      await checked.evaluate(axe);
      const { violations } = await checked.evaluate(() => window.axe.run());
      for (const violation of violations) {
        const nodes = violation.nodes.slice(0, 3).map((node) => node.html).join(" | ");
        problems.push(`${where}: accessibility: ${violation.id}: ${violation.help}: ${nodes}`);
      }
      await checked.close();
      await tab.close();
    }
    const tab = await browser.newPage();
    await tab.goto(url, { waitUntil: "load" });
    const paper = await tab.pdf({ format: "A4" });
    if (paper.length < 5000) problems.push(`${file}: nothing is printed`);
    await tab.close();
  }
} finally {
  await browser.close();
}
for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages in ${screens.length} forms: ${problems.length} problems`);
process.exit(problems.length > 0 ? 1 : 0);
