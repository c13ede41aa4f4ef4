//! Any list of operations on secrets, vectors of them and boxes, against plain vectors with the same values.
//!
//! ```text
//! cargo +nightly fuzz run secret -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Checked: the values, after every step those of all objects; that new places read zero; and that what is not borrowed
//! cannot be read, unless it shares its pages with what is.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mapalloc::{PageBox, PageVec, Secret, SecretVec};

/// So many of each at a time.
const SLOTS: usize = 12;

#[derive(Arbitrary, Debug)]
enum Step {
    Keep { slot: u8, len: u16, byte: u8 },
    Move { slot: u8, bytes: Vec<u8> },
    Write { slot: u8, at: u16, byte: u8 },
    Drop { slot: u8 },
    Swap { slot: u8, other: u8 },
    VecPush { slot: u8, value: u32 },
    VecExtend { slot: u8, count: u8, value: u32 },
    VecPop { slot: u8 },
    VecTruncate { slot: u8, len: u8 },
    VecClear { slot: u8 },
    VecReserve { slot: u8, additional: u16 },
    VecDrop { slot: u8 },
    Box { slot: u8, bytes: Vec<u8> },
    BoxWrite { slot: u8, at: u16, byte: u8 },
    BoxClone { slot: u8, other: u8 },
    BoxIntoVec { slot: u8, more: u8 },
    BoxDrop { slot: u8 },
    Closed { slot: u8 },
}

type Pair<T, M> = Option<(T, M)>;

struct State {
    secrets: [Pair<Secret<[u8]>, Vec<u8>>; SLOTS],
    vecs: [(SecretVec<u32>, Vec<u32>); SLOTS],
    boxes: [Pair<PageBox<[u8]>, Vec<u8>>; SLOTS],
}

fn slot(n: u8) -> usize {
    usize::from(n) % SLOTS
}

/// Whether a byte can be read: the kernel refuses to copy it if not.
fn can_read(address: usize) -> bool {
    let mut byte = 0_u8;
    let ours = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: 1 };
    // SAFETY: the kernel writes to the variable, if there is a byte.
    unsafe { libc::process_vm_readv(libc::getpid(), &raw const ours, 1, &raw const theirs, 1, 0) == 1 }
}

impl State {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Keep { slot: n, len, byte } => {
                let len = usize::from(*len) % 20_000;
                let secret = Secret::slice_from_fn(len, |bytes| {
                    assert!(bytes.iter().all(|&byte| byte == 0), "a new place is not zero");
                    bytes.fill(*byte);
                });
                self.secrets[slot(*n)] = Some((secret.expect("pages to lock"), vec![*byte; len]));
            }
            Step::Move { slot: n, bytes } => {
                let mut source = bytes.clone();
                let secret = Secret::from_mut_slice(&mut source).expect("pages to lock");
                assert!(source.iter().all(|&byte| byte == 0), "a copy is left");
                self.secrets[slot(*n)] = Some((secret, bytes.clone()));
            }
            Step::Write { slot: n, at, byte } => {
                if let Some((secret, model)) = &mut self.secrets[slot(*n)]
                    && !model.is_empty()
                {
                    let at = usize::from(*at) % model.len();
                    secret.write()[at] = *byte;
                    model[at] = *byte;
                }
            }
            Step::Drop { slot: n } => self.secrets[slot(*n)] = None,
            Step::Swap { slot: n, other } => self.secrets.swap(slot(*n), slot(*other)),
            Step::VecPush { slot: n, value } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                vec.push(*value).expect("pages to lock");
                model.push(*value);
            }
            Step::VecExtend { slot: n, count, value } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                let values: Vec<u32> = (0..u32::from(*count)).map(|n| value.wrapping_add(n)).collect();
                vec.extend_from_slice(&values).expect("pages to lock");
                model.extend(values);
            }
            Step::VecPop { slot: n } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                assert_eq!(vec.pop().expect("open pages"), model.pop());
            }
            Step::VecTruncate { slot: n, len } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                vec.truncate(usize::from(*len)).expect("open pages");
                model.truncate(usize::from(*len));
            }
            Step::VecClear { slot: n } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                vec.clear().expect("open pages");
                model.clear();
            }
            Step::VecReserve { slot: n, additional } => {
                let (vec, model) = &mut self.vecs[slot(*n)];
                let additional = usize::from(*additional) % 5000;
                vec.reserve(additional).expect("pages to lock");
                assert!(vec.capacity() >= model.len() + additional);
            }
            Step::VecDrop { slot: n } => self.vecs[slot(*n)] = Default::default(),
            Step::Box { slot: n, bytes } => {
                self.boxes[slot(*n)] = Some((PageBox::from(&bytes[..]), bytes.clone()));
            }
            Step::BoxWrite { slot: n, at, byte } => {
                if let Some((boxed, model)) = &mut self.boxes[slot(*n)]
                    && !model.is_empty()
                {
                    let at = usize::from(*at) % model.len();
                    boxed[at] = *byte;
                    model[at] = *byte;
                }
            }
            Step::BoxClone { slot: n, other } => {
                self.boxes[slot(*other)] =
                    self.boxes[slot(*n)].as_ref().map(|(boxed, model)| (boxed.clone(), model.clone()));
            }
            Step::BoxIntoVec { slot: n, more } => {
                if let Some((boxed, mut model)) = self.boxes[slot(*n)].take() {
                    let mut vec = PageVec::from(boxed);
                    vec.extend_from_slice(&vec![7; usize::from(*more)]);
                    model.extend(vec![7; usize::from(*more)]);
                    self.boxes[slot(*n)] = Some((PageBox::from(vec), model));
                }
            }
            Step::BoxDrop { slot: n } => self.boxes[slot(*n)] = None,
            Step::Closed { slot: n } => {
                let Some((secret, model)) = &self.secrets[slot(*n)] else { return };
                if model.is_empty() {
                    return;
                }
                let address = secret.read().as_ptr().addr();
                assert!(!can_read(address), "a secret is open while nothing is borrowed");
            }
        }
    }

    fn check(&self) {
        for (secret, model) in self.secrets.iter().flatten() {
            assert!(*secret.read() == **model, "a secret of {} bytes", model.len());
        }
        for (vec, model) in &self.vecs {
            assert_eq!(vec.len(), model.len());
            assert!(*vec.read() == **model, "a vector of {} secrets", model.len());
        }
        for (boxed, model) in self.boxes.iter().flatten() {
            assert!(**boxed == **model, "a box of {} bytes", model.len());
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut state = State {
        secrets: [const { None }; SLOTS],
        vecs: std::array::from_fn(|_| Default::default()),
        boxes: [const { None }; SLOTS],
    };
    for step in steps.iter().take(100) {
        state.step(step);
        state.check();
    }
});
