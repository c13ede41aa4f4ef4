//! What the tour shows, taken down step by step.

use crate::cost::Cost;
use crate::kind::Kind;
use std::fmt::Display;
use std::io;

/// One thing that is shown.
#[derive(Debug)]
pub(crate) struct Step {
    /// What happens, in a line.
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// One picture of a step, with what belongs beside it.
#[derive(Debug)]
pub(crate) struct Row {
    /// Whose memory it is.
    pub(crate) label: String,
    /// Empty if there is nothing to draw.
    pub(crate) pages: Vec<Kind>,
    pub(crate) cost: Option<Cost>,
    pub(crate) note: Option<String>,
}

impl Row {
    /// A remark, also where it stands after another.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        self.note = Some(self.note.take().map_or(note.clone(), |first| format!("{first}; {note}")));
    }
}

/// Takes down a chapter.
#[derive(Debug, Default)]
pub(crate) struct Guide(Vec<Step>);

impl Guide {
    /// Begins a step.
    pub(crate) fn step(&mut self, title: impl Into<String>) {
        self.0.push(Step { title: title.into(), rows: Vec::new() });
    }

    /// A picture, what it cost to get there, and a place for a note.
    pub(crate) fn show(&mut self, label: &str, cost: Cost, pages: io::Result<Vec<Kind>>) -> &mut Row {
        let (pages, note) = match pages {
            Ok(pages) => (pages, None),
            Err(error) => (Vec::new(), Some(format!("not to be seen: {error}"))),
        };
        self.row(Row { label: label.to_owned(), pages, cost: Some(cost), note })
    }

    /// A picture of what is there without anything having been done.
    pub(crate) fn look(&mut self, label: &str, pages: Vec<Kind>) -> &mut Row {
        self.row(Row { label: label.to_owned(), pages, cost: None, note: None })
    }

    /// Words in the place of a picture.
    pub(crate) fn say(&mut self, label: &str, text: impl Into<String>) {
        self.row(Row { label: label.to_owned(), pages: Vec::new(), cost: None, note: Some(text.into()) });
    }

    /// What the system would not do.
    pub(crate) fn refused(&mut self, label: &str, why: impl Display) {
        self.say(label, format!("refused: {why}"));
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.0
    }

    fn row(&mut self, row: Row) -> &mut Row {
        if self.0.is_empty() {
            self.step("");
        }
        let rows = &mut self.0.last_mut().expect("a step has begun").rows;
        rows.push(row);
        rows.last_mut().expect("pushed just now")
    }
}
