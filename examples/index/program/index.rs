//! The inverted index: for every term the documents that have it, how often, and on which line first.
//!
//! Each thread has a [`Builder`]: a vocabulary on the global heap, and one growing log of postings in a `PageVec`.
//! [`Index::merge`] makes one vocabulary of them and sorts the logs into a single `PageVec` that holds all posting lists
//! back to back. A page container per term would waste most of a page on most terms; few big ones waste nothing.

use mapalloc::PageVec;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

/// Longer runs of letters are encoded data more often than words.
const LONGEST_TERM: usize = 64;

/// One document that has a term.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Posting {
    pub(crate) document: u32,
    /// Occurrences of the term in the document.
    pub(crate) count: u32,
    /// The line of the first one, from 1.
    pub(crate) line: u32,
}

/// (term by a thread's own numbering, posting), in the order of the documents.
type Log = PageVec<(u32, Posting)>;

/// A document and its length in terms.
pub(crate) struct Document {
    pub(crate) path: PathBuf,
    pub(crate) terms: u32,
}

/// What one thread has found so far.
#[derive(Default)]
pub(crate) struct Builder {
    vocabulary: HashMap<String, u32>,
    log: Log,
    lengths: Vec<(u32, u32)>,
    /// The document in hand: term to (count, first line). Empty between documents, kept for its capacity.
    counts: HashMap<u32, (u32, u32)>,
}

impl Builder {
    /// Adds the text of document number `document`.
    pub(crate) fn add(&mut self, document: u32, text: &str) {
        let Self { vocabulary, log, lengths, counts } = self;
        let mut length = 0;
        let mut line = 1;
        for_each_term(text, &mut line, |term, line| {
            let number = match vocabulary.get(term) {
                Some(&number) => number,
                None => {
                    let number = vocabulary.len() as u32;
                    vocabulary.insert(term.to_owned(), number);
                    number
                }
            };
            counts.entry(number).or_insert((0, line)).0 += 1;
            length += 1;
        });
        log.extend(counts.drain().map(|(term, (count, line))| (term, Posting { document, count, line })));
        lengths.push((document, length));
    }
}

/// Calls `found` with every term of `text`, in lower case, and the line it is on. A term is a run of letters, digits and
/// `_`, of at least two characters.
fn for_each_term(text: &str, line: &mut u32, mut found: impl FnMut(&str, u32)) {
    let mut term = String::with_capacity(LONGEST_TERM);
    let mut finish = |term: &mut String, line: u32| {
        if (2..=LONGEST_TERM).contains(&term.len()) {
            found(term, line);
        }
        term.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            term.push(c.to_ascii_lowercase());
        } else if c.is_alphanumeric() {
            term.extend(c.to_lowercase());
        } else {
            finish(&mut term, *line);
            *line += u32::from(c == '\n');
        }
    }
    finish(&mut term, *line);
}

/// The terms of a query, by the same rule as those of a document.
pub(crate) fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    for_each_term(text, &mut 1, |term, _| terms.push(term.to_owned()));
    terms
}

/// The finished index.
pub(crate) struct Index {
    /// By number; those that turned out not to be text have no terms.
    pub(crate) documents: Vec<Document>,
    /// How many of them are text.
    pub(crate) texts: usize,
    pub(crate) terms: HashMap<String, u32>,
    /// The list of term `t` is `postings[ends[t - 1]..ends[t]]`.
    ends: PageVec<u64>,
    postings: PageVec<Posting>,
}

impl Index {
    /// One index of all that the threads found; `paths` are the documents by number.
    pub(crate) fn merge(paths: Vec<PathBuf>, builders: Vec<Builder>) -> Self {
        let mut documents: Vec<_> = paths.into_iter().map(|path| Document { path, terms: 0 }).collect();
        let texts = builders.iter().map(|builder| builder.lengths.len()).sum();
        let mut terms = HashMap::new();
        let mut logs = Vec::with_capacity(builders.len());
        for Builder { vocabulary, log, lengths, .. } in builders {
            for (document, length) in lengths {
                documents[document as usize].terms = length;
            }
            let mut renumbered = vec![0; vocabulary.len()];
            for (term, old) in vocabulary {
                let next = terms.len() as u32;
                renumbered[old as usize] = *terms.entry(term).or_insert(next);
            }
            logs.push((renumbered, log));
        }
        let (ends, postings) = sort_into_lists(terms.len(), logs);
        Self { documents, texts, terms, ends, postings }
    }

    /// The documents that have term number `term`, in the order of their numbers.
    pub(crate) fn list(&self, term: u32) -> &[Posting] {
        &self.postings[list_range(&self.ends, term as usize)]
    }

    /// Postings in all lists.
    pub(crate) fn len(&self) -> usize {
        self.postings.len()
    }
}

fn list_range(ends: &[u64], term: usize) -> Range<usize> {
    let start = if term == 0 { 0 } else { ends[term - 1] };
    start as usize..ends[term] as usize
}

/// A counting sort by term, then each list by document, since threads took the documents in turns.
fn sort_into_lists(terms: usize, logs: Vec<(Vec<u32>, Log)>) -> (PageVec<u64>, PageVec<Posting>) {
    let mut ends = PageVec::new();
    ends.resize(terms, 0_u64);
    for (renumbered, log) in &logs {
        for &(term, _) in log.iter() {
            ends[renumbered[term as usize] as usize] += 1;
        }
    }
    let mut total = 0;
    for end in ends.iter_mut() {
        // For now the start of the list: it moves to the end as the list fills.
        total += std::mem::replace(end, total);
    }
    let mut postings = PageVec::new();
    postings.resize(total as usize, Posting::default());
    for (renumbered, log) in logs {
        for &(term, posting) in log.iter() {
            let place = &mut ends[renumbered[term as usize] as usize];
            postings[*place as usize] = posting;
            *place += 1;
        }
    }
    for term in 0..terms {
        postings[list_range(&ends, term)].sort_unstable_by_key(|posting| posting.document);
    }
    (ends, postings)
}
