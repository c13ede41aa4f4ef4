//! Models of whole programs: numbers, a key-value store, a compiler.

use super::Row;
use super::dice::Dice;
use crate::Stage;
use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::scope;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cfrac",
        what: "factors a number of 60 bits with numbers on the heap (Pollard's rho in place of continued fractions)",
        source: "model of cfrac (Barrett and Zorn, PLDI 1993): tiny numbers that live for an operation",
        run: cfrac,
    },
    Row {
        name: "redis",
        what: "keys to strings and lists: set, get, push, range, delete, 1,500,000 commands",
        source: "model of redis under redis-benchmark (in mimalloc-bench)",
        run: redis,
    },
    Row {
        name: "terms-rc",
        what: "expression trees of Rc differentiated, simplified and dropped",
        source: "model of a compiler's terms",
        run: |stage| stage.time(|| (0..12).for_each(terms::<Rc<()>>)),
    },
    Row {
        name: "terms-arc",
        what: "the same with Arc, in all threads",
        source: "model of a compiler's terms",
        run: |stage| {
            let threads = stage.threads();
            stage.time(|| scope(|scope| (0..threads).for_each(|n| _ = scope.spawn(move || arcs(n)))));
        },
    },
];

/// A number as digits of 2^16 on the heap, least first.
#[derive(Clone, PartialEq)]
struct Big(Box<[u16]>);

impl Big {
    fn new(mut value: u128) -> Big {
        let mut digits = Vec::with_capacity(8);
        while value > 0 {
            digits.push(value as u16);
            value >>= 16;
        }
        Big(digits.into_boxed_slice())
    }

    fn value(&self) -> u128 {
        self.0.iter().rev().fold(0, |value, &digit| value << 16 | u128::from(digit))
    }

    fn plus(&self, other: &Big) -> Big {
        Big::new(self.value() + other.value())
    }

    fn times(&self, other: &Big) -> Big {
        Big::new(self.value() * other.value())
    }

    fn modulo(&self, other: &Big) -> Big {
        Big::new(self.value() % other.value())
    }

    fn distance(&self, other: &Big) -> Big {
        Big::new(self.value().abs_diff(other.value()))
    }
}

fn gcd(mut a: Big, mut b: Big) -> Big {
    while !b.0.is_empty() {
        (a, b) = (b.clone(), a.modulo(&b));
    }
    a
}

fn cfrac(stage: &mut Stage) {
    stage.time(|| {
        let n = Big::new(1_000_000_007 * 998_244_353);
        let one = Big::new(1);
        let step = |x: &Big| x.times(x).plus(&one).modulo(&n);
        let (mut slow, mut fast, mut product) = (Big::new(2), Big::new(2), one.clone());
        for round in 1..400_000 {
            slow = step(&slow);
            fast = step(&step(&fast));
            product = product.times(&slow.distance(&fast)).modulo(&n);
            if round % 5_000 == 0 {
                black_box(gcd(product.clone(), n.clone()));
            }
            if product.0.is_empty() {
                product = one.clone();
            }
        }
    });
}

enum Entry {
    Text(String),
    List(VecDeque<String>),
}

fn redis(stage: &mut Stage) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut keys: HashMap<String, Entry> = HashMap::new();
        for _ in 0..1_500_000 {
            let id = dice.below(100_000);
            match dice.below(10) {
                0..3 => {
                    let value = "x".repeat(dice.size(8, 255));
                    keys.insert(format!("key:{id:012}"), Entry::Text(value));
                }
                3..7 => {
                    // The reply is a copy, as a server makes it for the socket.
                    let reply = keys.get(&format!("key:{id:012}")).map(|entry| match entry {
                        Entry::Text(text) => text.clone(),
                        Entry::List(list) => list.len().to_string(),
                    });
                    black_box(reply);
                }
                7 | 8 => {
                    let entry = keys.entry(format!("list:{:06}", id % 1000));
                    if let Entry::List(list) = entry.or_insert_with(|| Entry::List(VecDeque::new())) {
                        list.push_front("y".repeat(dice.size(8, 63)));
                        list.truncate(100);
                        black_box(list.iter().take(10).cloned().collect::<Vec<_>>());
                    }
                }
                _ => drop(keys.remove(&format!("key:{id:012}"))),
            }
        }
    });
}

/// The pointer of a tree: `Rc` or `Arc`.
trait Shared {
    type Of<T>: Clone + std::ops::Deref<Target = T>;
    fn share<T>(value: T) -> Self::Of<T>;
}

impl Shared for Rc<()> {
    type Of<T> = Rc<T>;
    fn share<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }
}

impl Shared for Arc<()> {
    type Of<T> = Arc<T>;
    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }
}

enum Term<P: Shared> {
    Constant(i64),
    Variable(String),
    Sum(P::Of<Term<P>>, P::Of<Term<P>>),
    Product(P::Of<Term<P>>, P::Of<Term<P>>),
}

use Term::{Constant, Product, Sum, Variable};

fn random<P: Shared>(dice: &mut Dice, depth: usize) -> P::Of<Term<P>> {
    P::share(match (depth, dice.below(4)) {
        (0, 0) => Constant(dice.below(3) as i64),
        (0, _) => Variable(["x", "y", "a_longer_name"][dice.below(3)].to_string()),
        (_, 0 | 1) => Sum(random::<P>(dice, depth - 1), random::<P>(dice, depth - 1)),
        _ => Product(random::<P>(dice, depth - 1), random::<P>(dice, depth - 1)),
    })
}

fn derive<P: Shared>(term: &P::Of<Term<P>>) -> P::Of<Term<P>> {
    P::share(match &**term {
        Constant(_) => Constant(0),
        Variable(name) => Constant(i64::from(name == "x")),
        Sum(a, b) => Sum(derive::<P>(a), derive::<P>(b)),
        Product(a, b) => {
            Sum(P::share(Product(derive::<P>(a), b.clone())), P::share(Product(a.clone(), derive::<P>(b))))
        }
    })
}

fn simplify<P: Shared>(term: &P::Of<Term<P>>) -> P::Of<Term<P>> {
    let (a, b, product) = match &**term {
        Constant(_) | Variable(_) => return term.clone(),
        Sum(a, b) => (simplify::<P>(a), simplify::<P>(b), false),
        Product(a, b) => (simplify::<P>(a), simplify::<P>(b), true),
    };
    match (&*a, &*b, product) {
        (Constant(0), _, false) => b,
        (_, Constant(0), false) => a,
        (Constant(0), _, true) | (_, Constant(0), true) => P::share(Constant(0)),
        (Constant(1), _, true) => b,
        (_, Constant(1), true) => a,
        (_, _, false) => P::share(Sum(a, b)),
        (_, _, true) => P::share(Product(a, b)),
    }
}

fn terms<P: Shared>(seed: usize) {
    let mut dice = Dice::new(seed as u64 + 1);
    let term = random::<P>(&mut dice, 13);
    let first = simplify::<P>(&derive::<P>(&term));
    let second = simplify::<P>(&derive::<P>(&first));
    black_box((term.clone(), first, second));
}

fn arcs(thread: usize) {
    (0..6).for_each(|n| terms::<Arc<()>>(thread * 6 + n));
}
