//! There are no states but the crate's.

use mapalloc::map::Access;

enum WriteExecute {}

impl Access for WriteExecute {}

fn main() {}
