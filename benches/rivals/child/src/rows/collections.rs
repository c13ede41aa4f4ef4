//! The standard library's collections, and a document tree.

use super::Row;
use super::dice::Dice;
use crate::Stage;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hint::black_box;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "hash-map-growth",
        what: "a HashMap of numbers grown to 2,000,000 entries",
        source: "model of an index that is built in memory",
        run: |stage| {
            stage.time(|| {
                let mut dice = Dice::new(1);
                black_box((0..2_000_000).map(|n| (dice.next(), n)).collect::<HashMap<u64, u64>>());
            });
        },
    },
    Row {
        name: "hash-map-strings",
        what: "a HashMap of strings to lists of bytes, 300,000 entries, half of them replaced",
        source: "model of a cache in memory",
        run: strings,
    },
    Row {
        name: "btree-strings",
        what: "a BTreeMap of 200,000 strings, built, walked and dropped",
        source: "model of a sorted index",
        run: |stage| {
            stage.time(|| {
                let mut dice = Dice::new(1);
                let map: BTreeMap<String, String> =
                    (0..200_000).map(|n| (format!("key {:016x}", dice.next()), format!("value {n}"))).collect();
                black_box(map.values().map(String::len).sum::<usize>());
            });
        },
    },
    Row {
        name: "json-trees",
        what: "a JSON text of 20,000 records parsed, changed, written and dropped, 4 times",
        source: "model of services on serde_json",
        run: json,
    },
];

fn strings(stage: &mut Stage) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut map: HashMap<String, Vec<u8>> = HashMap::new();
        for _ in 0..450_000 {
            let key = format!("session:{}", dice.below(300_000));
            map.insert(key, vec![1; dice.size(16, 1023)]);
        }
        black_box(map);
    });
}

fn json(stage: &mut Stage) {
    let mut dice = Dice::new(1);
    let mut text = String::from("[");
    for n in 0..20_000 {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"id":{n},"name":"user {}","tags":["a","bc","def"],"score":{}.5,"nested":{{"x":[1,2,3],"y":null}}}}"#,
            dice.below(1_000_000),
            dice.below(100)
        );
    }
    text.push(']');
    stage.time(|| {
        for _ in 0..4 {
            let mut value: Value = serde_json::from_str(&text).expect("the text above");
            for record in value.as_array_mut().expect("an array") {
                record["name"] = Value::String(format!("{}!", record["name"]));
                record["seen"] = Value::Bool(true);
            }
            black_box(value.to_string());
        }
    });
}
