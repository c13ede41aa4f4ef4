use mapalloc::map::Access;

enum WriteAndExecute {}

impl Access for WriteAndExecute {}

fn main() {}
