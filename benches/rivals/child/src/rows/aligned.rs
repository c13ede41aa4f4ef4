//! Page-aligned blocks: a window of live ones, replaced at random.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;

const SOURCE: &str = "model of O_DIRECT and io_uring buffers (requests in the trackers of neon, agave and qdrant)";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "page-aligned-1",
        what: "256 live blocks of 1 page, page-aligned, replaced at random",
        source: SOURCE,
        run: |stage| churn(stage, 1, 1_500_000),
    },
    Row {
        name: "page-aligned-4",
        what: "256 live blocks of 4 pages, page-aligned, replaced at random",
        source: SOURCE,
        run: |stage| churn(stage, 4, 1_500_000),
    },
    Row {
        name: "page-aligned-16",
        what: "256 live blocks of 16 pages, page-aligned, replaced at random",
        source: SOURCE,
        run: |stage| churn(stage, 16, 1_000_000),
    },
];

fn churn(stage: &mut Stage, pages: usize, times: usize) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut live: Vec<Block> = (0..256).map(|_| Block::aligned(pages << 12, 4096)).collect();
        (0..times).for_each(|_| live[dice.below(256)] = Block::aligned(pages << 12, 4096));
    });
}
