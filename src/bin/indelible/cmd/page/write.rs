//! The page's sections, from what was read.

use indelible::model::text::{counted, number};
use indelible::model::{ExperimentResult, Field, Kind, Origin};
use indelible::query::Recorded;
use indelible::redact::Redactor;
use indelible::rules::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::html::Html;
use super::plot::{bars, figure, is_daily};
use super::read::{Group, Report, ShownFailure, ShownRule};
use crate::reading::screen::word_of;

const STYLE: &str = include_str!("page.css");

/// What a page says beside its report.
pub struct Frame<'f> {
    /// What the page is about: the home's name.
    pub name: &'f str,
    /// The filters, as they were typed.
    pub filters: &'f [String],
    pub made_at: Timestamp,
    pub zone: &'f TimeZone,
}

/// The page as HTML.
pub fn page(report: &Report, frame: &Frame<'_>, redactor: &Redactor) -> String {
    let mut page = Page { html: Html::new(redactor), frame };
    page.head(report);
    page.overview(report);
    page.activity(report);
    page.rules(report);
    page.failures(report);
    page.experiments(report);
    page.groups(report);
    page.foot();
    page.html.finish()
}

struct Page<'p> {
    html: Html<'p>,
    frame: &'p Frame<'p>,
}

impl Page<'_> {
    fn day(&self, at: Timestamp) -> String {
        let day = at.to_zoned(self.frame.zone.clone()).date();
        format!("<time datetime=\"{day}\">{day}</time>")
    }

    fn head(&mut self, report: &Report) {
        let made = self.frame.made_at.to_zoned(self.frame.zone.clone());
        self.html
            .raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
            .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>")
            .text(self.frame.name)
            .raw(": what was learned</title>\n<style>\n")
            .raw(STYLE)
            .raw("</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n<h1>")
            .text(self.frame.name)
            .raw(": what was learned</h1>\n")
            .raw(&format!(
                "<p class=\"quiet\">{}, as of <time datetime=\"{:.0}\">{}</time>.",
                counted(report.records, "record", "records"),
                self.frame.made_at,
                made.strftime("%Y-%m-%d %H:%M %z")
            ));
        if let Some((from, to)) = report.between {
            let between = format!(" Recorded from {} to {}.", self.day(from), self.day(to));
            self.html.raw(&between);
        }
        self.html.raw("</p>\n");
        if !self.frame.filters.is_empty() {
            self.html.raw("<p class=\"quiet\">Only: <code>").text(&self.frame.filters.join(" ")).raw("</code></p>\n");
        }
        for note in &report.notes {
            self.html.raw("<p><strong>Note:</strong> ").text(note).raw("</p>\n");
        }
        self.html.raw("</header>\n<nav aria-label=\"Contents\">\n<ul>\n");
        for (id, name) in [
            ("overview", "Overview"),
            ("activity", "Activity"),
            ("rules", "Rules"),
            ("failures", "Failures"),
            ("experiments", "Experiments"),
            ("origins", "Projects and agents"),
        ] {
            self.html.raw(&format!("<li><a href=\"#{id}\">{name}</a></li>\n"));
        }
        self.html.raw("</ul>\n</nav>\n<main id=\"main\">\n");
    }

    fn section(&mut self, id: &str, name: &str) {
        self.html.raw(&format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{name}</h2>\n"));
    }

    fn overview(&mut self, report: &Report) {
        self.section("overview", "Overview");
        self.html.raw("<div class=\"table\">\n<table>\n<caption>Records by kind</caption>\n<thead><tr><th scope=\"col\">Kind</th>");
        self.html.raw("<th scope=\"col\" class=\"number\">Records</th></tr></thead>\n<tbody>\n");
        for kind in Kind::LEARNED {
            let count = report.by_kind.get(&kind).copied().unwrap_or(0);
            let row = format!(
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td></tr>\n",
                plural(kind),
                number(count)
            );
            self.html.raw(&row);
        }
        self.html.raw("</tbody>\n</table>\n</div>\n</section>\n");
    }

    fn activity(&mut self, report: &Report) {
        self.section("activity", "Activity");
        let each = if is_daily(&report.days) { "day" } else { "week" };
        let all = bars(&report.days, |day| day.records);
        let failures = bars(&report.days, |day| day.failures);
        if all.is_empty() {
            self.html.raw("<p>Nothing was recorded.</p>\n</section>\n");
            return;
        }
        self.html.raw(&format!("<h3>Records a {each}</h3>\n"));
        self.html.raw(&figure("records", &format!("Records a {each}"), &all, ("record", "records"), each));
        self.html.raw(&format!("<h3>Failures a {each}</h3>\n"));
        self.html.raw(&figure("failures", &format!("Failures a {each}"), &failures, ("failure", "failures"), each));
        self.html.raw(&format!(
            "<details><summary>The numbers</summary>\n<div class=\"table\">\n<table>\n<caption>Records and failures a {each}</caption>\n\
             <thead><tr><th scope=\"col\">From</th><th scope=\"col\" class=\"number\">Records</th>\
             <th scope=\"col\" class=\"number\">Failures</th></tr></thead>\n<tbody>\n"
        ));
        for (one, other) in all.iter().zip(&failures).filter(|(one, _)| one.value > 0) {
            let (records, failures) = (number(one.value), number(other.value));
            self.html.raw(&format!(
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{records}</td><td class=\"number\">{failures}</td></tr>\n",
                one.from
            ));
        }
        self.html.raw("</tbody>\n</table>\n</div>\n</details>\n</section>\n");
    }

    /// Says how many of `all` are shown.
    fn shown(&mut self, shown: usize, all: u64, which: &str, many: &str) {
        if all == 0 {
            self.html.raw("<p>There are none.</p>\n");
        } else if (shown as u64) < all {
            let line =
                format!("<p class=\"quiet\">The {which} {} of {} {many}.</p>\n", number(shown as u64), number(all));
            self.html.raw(&line);
        }
    }

    fn rules(&mut self, report: &Report) {
        self.section("rules", "Rules, the surest first");
        let all = report.by_kind.get(&Kind::Heuristic).copied().unwrap_or(0);
        self.shown(report.rules.len(), all, "surest", "rules");
        self.html.raw("<ol class=\"cards\">\n");
        report.rules.iter().for_each(|rule| self.rule(rule));
        self.html.raw("</ol>\n</section>\n");
    }

    fn rule(&mut self, rule: &ShownRule) {
        let standing = &rule.standing;
        let golden = if standing.state == State::Golden { " class=\"golden\"" } else { "" };
        let percent = (standing.confidence * 100.0).round().clamp(0.0, 100.0);
        self.html.raw(&format!("<li{golden}>\n")).element("h3", &rule.rule);
        self.html.raw(&format!(
            "<p class=\"facts\"><meter min=\"0\" max=\"100\" value=\"{percent}\" aria-label=\"Confidence\">{percent} %</meter> {percent} % sure"
        ));
        if standing.state != State::Active {
            self.html.raw(&format!(", {}", standing.state));
        }
        self.html.raw(" · ").text(&rule.domain);
        let tally = &standing.tally;
        for (count, word) in [(tally.validated, "validated"), (tally.violated, "violated"), (tally.again, "again")] {
            if count > 0 {
                self.html.raw(&format!(" · {} × {word}", number(count)));
            }
        }
        self.from(rule.project.as_deref(), None, rule.origin);
        self.named(rule.created_at, &rule.id.short());
        self.html.raw("</p>\n").body("Why", &rule.explanation).raw("</li>\n");
    }

    /// Says where a record comes from.
    fn from(&mut self, project: Option<&str>, agent: Option<&str>, origin: Option<Origin>) {
        if let Some(project) = project {
            self.html.raw(" · ").text(project);
        }
        match (agent, origin) {
            (Some(agent), _) => {
                self.html.raw(" · ").text(agent);
            }
            (None, Some(origin)) => {
                self.html.raw(&format!(" · by {} {}", article(origin), origin.name()));
            }
            (None, None) => {}
        }
    }

    /// The day and the end of the id of a record.
    fn named(&mut self, at: Timestamp, id: &str) {
        let day = self.day(at);
        self.html.raw(&format!(" · {day} · <code>{id}</code>"));
    }

    fn failures(&mut self, report: &Report) {
        self.section("failures", "Failures, the newest first");
        let all = report.by_kind.get(&Kind::Failure).copied().unwrap_or(0);
        self.shown(report.failures.len(), all, "newest", "failures");
        self.html.raw("<ol class=\"cards\">\n");
        report.failures.iter().for_each(|failure| self.failure(failure));
        self.html.raw("</ol>\n</section>\n");
    }

    fn failure(&mut self, failure: &ShownFailure) {
        let recorded = &failure.recorded;
        self.html.raw("<li class=\"failure\">\n").element("h3", recorded.title()).raw("<p class=\"facts\">");
        if let Some(severity) = recorded.severity() {
            self.html.raw(&format!("{} · ", word_of(severity)));
        }
        self.html.text(&recorded.domain().unwrap_or_default());
        if failure.times > 1 {
            let last = self.day(failure.last);
            self.html.raw(&format!(" · {} times, the last on {last}", number(failure.times)));
        }
        let provenance = recorded.provenance();
        self.from(provenance.project.as_deref(), provenance.agent.as_deref(), provenance.origin);
        self.named(recorded.created_at, &recorded.id.short());
        self.html.raw("</p>\n").body("What happened", &recorded.field(Field::Summary).unwrap_or_default());
        if !failure.followed.is_empty() {
            self.html.raw("<p>What followed:</p>\n<ul class=\"followed\">\n");
            for success in &failure.followed {
                self.html.raw("<li>").text(success.title());
                self.named(success.created_at, &success.id.short());
                self.html.raw("\n").body("How", &success.field(Field::Summary).unwrap_or_default()).raw("</li>\n");
            }
            self.html.raw("</ul>\n");
        }
        self.html.raw("</li>\n");
    }

    fn experiments(&mut self, report: &Report) {
        self.section("experiments", "Experiments, the newest first");
        let all = report.by_kind.get(&Kind::Experiment).copied().unwrap_or(0);
        self.shown(report.experiments.len(), all, "newest", "experiments");
        self.html.raw("<ol class=\"cards\">\n");
        report.experiments.iter().for_each(|experiment| self.experiment(experiment));
        self.html.raw("</ol>\n</section>\n");
    }

    fn experiment(&mut self, experiment: &Recorded) {
        let text = |field| experiment.field(field).unwrap_or_default().into_owned();
        let result = text(Field::Result).parse::<ExperimentResult>().map_or("under way", ExperimentResult::name);
        self.html.raw("<li>\n").element("h3", experiment.title()).raw(&format!("<p class=\"facts\">{result}"));
        let provenance = experiment.provenance();
        self.from(provenance.project.as_deref(), provenance.agent.as_deref(), provenance.origin);
        self.named(experiment.created_at, &experiment.id.short());
        self.html.raw("</p>\n").body("What is believed", &text(Field::Hypothesis));
        self.html.body("What came of it", &text(Field::Outcome)).raw("</li>\n");
    }

    fn groups(&mut self, report: &Report) {
        self.section("origins", "Projects and agents");
        self.group("Projects", "no project", &report.projects);
        self.group("Agents", "no agent", &report.agents);
        self.html.raw("</section>\n");
    }

    fn group(&mut self, name: &str, without: &str, (groups, count): &(Vec<(String, Group)>, usize)) {
        let more = match count - groups.len() {
            0 => String::new(),
            more => format!("; {} smaller ones are left out", number(more as u64)),
        };
        self.html.raw(&format!("<div class=\"table\">\n<table>\n<caption>{name}{more}</caption>\n<thead><tr>"));
        for (column, class) in [
            (name, ""),
            ("Records", " class=\"number\""),
            ("Failures", " class=\"number\""),
            ("Rules", " class=\"number\""),
            ("Newest", ""),
        ] {
            self.html.raw(&format!("<th scope=\"col\"{class}>{column}</th>"));
        }
        self.html.raw("</tr></thead>\n<tbody>\n");
        for (name, group) in groups {
            self.html.raw("<tr><th scope=\"row\">").text(if name.is_empty() { without } else { name }).raw("</th>");
            for value in [group.records, group.failures, group.rules] {
                self.html.raw(&format!("<td class=\"number\">{}</td>", number(value)));
            }
            let newest = self.day(group.newest);
            self.html.raw(&format!("<td>{newest}</td></tr>\n"));
        }
        self.html.raw("</tbody>\n</table>\n</div>\n");
    }

    fn foot(&mut self) {
        self.html.raw(
            "</main>\n<footer>\n<p class=\"quiet\">Made by <code>indelible page</code>. Recorded text is data: it comes from people, agents, \
             tools and other programs. Secrets of known shapes were replaced. Long texts are cut; <code>indelible show ID</code> has all \
             of a record.</p>\n</footer>\n</body>\n</html>\n",
        );
    }
}

fn article(origin: Origin) -> &'static str {
    match origin {
        Origin::Agent | Origin::Import => "an",
        Origin::Person | Origin::Hook => "a",
    }
}

/// The plural of `kind`, as a heading.
fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure => "Failures",
        Kind::Success => "Successes",
        Kind::Observation => "Observations",
        Kind::Heuristic => "Rules",
        Kind::Experiment => "Experiments",
        Kind::Verdict => "Verdicts",
    }
}
