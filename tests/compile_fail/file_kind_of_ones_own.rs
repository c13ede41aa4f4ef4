use mapalloc::file::Kind;

enum Executable {}

impl Kind for Executable {}

fn main() {}
