//! Queries: the documents that have all the words, best first by BM25.

use super::index::{self, Index, Posting};

/// How soon further occurrences of a word stop to count, and how much long documents are held back: the customary values.
const SATURATION: f64 = 1.2;
const LENGTH_WEIGHT: f64 = 0.75;

/// A document that answers a query.
pub(crate) struct Hit {
    pub(crate) document: u32,
    pub(crate) score: f64,
    /// Where its rarest word of the query is first.
    pub(crate) line: u32,
}

/// The documents that have every word of `query`, the best first.
pub(crate) fn search(index: &Index, query: &str) -> Vec<Hit> {
    let mut lists: Vec<&[Posting]> = Vec::new();
    for term in index::terms(query) {
        match index.terms.get(&term) {
            Some(&number) => lists.push(index.list(number)),
            None => return Vec::new(),
        }
    }
    lists.sort_by_key(|list| list.len());
    let Some((rarest, others)) = lists.split_first() else { return Vec::new() };

    let total: u64 = index.documents.iter().map(|document| u64::from(document.terms)).sum();
    let average = total as f64 / index.texts.max(1) as f64;
    let score = |list: &[Posting], posting: &Posting| {
        let (documents, having) = (index.texts as f64, list.len() as f64);
        let rarity = (1.0 + (documents - having + 0.5) / (having + 0.5)).ln();
        let length = f64::from(index.documents[posting.document as usize].terms) / average;
        let count = f64::from(posting.count);
        rarity * count * (SATURATION + 1.0) / (count + SATURATION * (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length))
    };

    let mut hits = Vec::new();
    'documents: for posting in *rarest {
        let mut sum = score(rarest, posting);
        for list in others {
            match list.binary_search_by_key(&posting.document, |other| other.document) {
                Ok(at) => sum += score(list, &list[at]),
                Err(_) => continue 'documents,
            }
        }
        hits.push(Hit { document: posting.document, score: sum, line: posting.line });
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document)));
    hits
}
