// Compares the templates of two syntheses and writes Markdown: what each stack of each environment gains, loses and changes,
// with what would be replaced, and what changes in IAM. It reads files only and needs no AWS credentials.
//
//     node .github/template-difference.mjs before/cdk.out after/cdk.out
//
// The comparison itself is the CDK's own (`cdk diff --template`), which knows what CloudFormation replaces.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [before, after] = process.argv.slice(2);
if (!after) {
  console.error("usage: node .github/template-difference.mjs <cdk.out before> <cdk.out after>");
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), "difference-"));
try {
  const old = existsSync(join(before, "manifest.json")) ? stacks(before) : new Map();
  const now = stacks(after);
  const report = [...new Set([...now.keys(), ...old.keys()])].sort().map((name) => compare(name, old.get(name), now.get(name)));
  console.log(summary(report, old.size));
} finally {
  rmSync(scratch, { recursive: true });
}

// stacks gives the template's file of each stack by the stack's path ("dev/fraud"), stages included.
function stacks(assembly) {
  const found = new Map();
  const { artifacts = {} } = JSON.parse(readFileSync(join(assembly, "manifest.json"), "utf8"));
  for (const [id, { type, displayName, properties }] of Object.entries(artifacts)) {
    if (type === "aws:cloudformation:stack") {
      found.set(displayName ?? id, join(assembly, properties.templateFile));
    } else if (type === "cdk:cloud-assembly") {
      stacks(join(assembly, properties.directoryName)).forEach((file, name) => found.set(name, file));
    }
  }
  return found;
}

// compare says how one stack changes; a file that isn't there is a stack that is made or goes.
function compare(name, oldFile, newFile) {
  if (!newFile) {
    return { name, change: "is taken out", text: "The stack is in no template any more. CloudFormation keeps it until somebody destroys it." };
  }
  if (!oldFile) {
    oldFile = join(scratch, "empty.json");
    writeFileSync(oldFile, "{}");
    return { name, change: "is new", text: difference(name, oldFile) };
  }
  if (readFileSync(oldFile, "utf8") === readFileSync(newFile, "utf8")) {
    return { name, change: "" };
  }
  const text = difference(name, oldFile);
  const replaced = text.split("\n").filter((line) => /requires replacement|may be replaced|may cause replacement|\breplace\b/.test(line) && line.startsWith("["));
  const destroyed = text.split("\n").filter((line) => /\bdestroy\b/.test(line) && line.startsWith("["));
  const change = ["changes"];
  if (replaced.length) change.push(`replaces ${replaced.length}`);
  if (destroyed.length) change.push(`destroys ${destroyed.length}`);
  if (/^IAM |^Security Group Changes/m.test(text)) change.push("changes permissions");
  return { name, change: change.join(", "), text };
}

function difference(name, oldFile) {
  const cdk = spawnSync(process.execPath, ["node_modules/aws-cdk/bin/cdk", "diff", "--app", after, "--exclusively", "--template", oldFile, name], {
    encoding: "utf8",
    maxBuffer: 64 << 20,
    env: { ...process.env, NO_COLOR: "1", CI: "true" },
  });
  if (cdk.error || cdk.status !== 0) {
    throw new Error(`comparing ${name}: ${cdk.error ?? cdk.stderr}`);
  }
  // With CI set the difference is alone on standard output; the stack's warnings are on standard error.
  return cdk.stdout.replace(/^✨.*$/gm, "").trim();
}

function summary(report, hadBefore) {
  const changed = report.filter(({ change }) => change);
  const lines = ["## What changes in AWS", ""];
  if (!hadBefore) lines.push("There are no templates to compare with: everything is new.", "");
  if (!changed.length) lines.push(`Nothing: all ${report.length} templates are the same.`);
  else lines.push("| stack | |", "|---|---|", ...report.map(({ name, change }) => `| ${name} | ${change || "–"} |`));
  for (const { name, change, text } of changed) {
    lines.push("", `<details><summary><b>${name}</b> ${change}</summary>`, "", "```text", text.replaceAll("```", "'''"), "```", "", "</details>");
  }
  return lines.join("\n");
}
