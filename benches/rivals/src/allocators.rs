//! Who is compared.

/// An allocator of the comparison.
#[derive(Debug)]
pub(crate) struct Allocator {
    /// As in `--allocators` and in the names of the programs.
    pub(crate) name: &'static str,
    /// The feature of the child that brings it in.
    pub(crate) feature: Option<&'static str>,
    /// Whether it is one of the six that PageAlloc is measured against.
    pub(crate) rival: bool,
    /// Whether it is compared without being asked for.
    pub(crate) usual: bool,
    /// Its colour in the charts.
    pub(crate) colour: (u8, u8, u8),
}

const fn rival(name: &'static str, feature: Option<&'static str>, colour: (u8, u8, u8)) -> Allocator {
    Allocator { name, feature, rival: true, usual: true, colour }
}

const fn own(name: &'static str, colour: (u8, u8, u8)) -> Allocator {
    Allocator { name, feature: None, rival: false, usual: true, colour }
}

const fn variant(name: &'static str, feature: Option<&'static str>, colour: (u8, u8, u8)) -> Allocator {
    Allocator { name, feature, rival: false, usual: false, colour }
}

/// All of them, in the order of the table.
pub(crate) const ALLOCATORS: [Allocator; 13] = [
    rival("malloc", None, (0x8c, 0x8c, 0x8c)),
    rival("mimalloc", Some("mimalloc"), (0xe6, 0x9f, 0x00)),
    rival("jemalloc", Some("jemalloc"), (0x56, 0xb4, 0xe9)),
    rival("snmalloc", Some("snmalloc"), (0x00, 0x9e, 0x73)),
    rival("rpmalloc", Some("rpmalloc"), (0xcc, 0x79, 0xa7)),
    rival("tcmalloc", Some("tcmalloc"), (0xb8, 0xa4, 0x2f)),
    own("mapalloc", (0x7a, 0x1f, 0x1f)),
    own("mapalloc-slabs", (0xd5, 0x1a, 0x1a)),
    own("mapalloc-hardened", (0x4a, 0x2c, 0x6d)),
    variant("mapalloc-never", None, (0x44, 0x44, 0xaa)),
    variant("mapalloc-always", None, (0x22, 0x88, 0xbb)),
    variant("scudo", Some("scudo"), (0x33, 0x66, 0x33)),
    variant("hardened-malloc", Some("hardened-malloc"), (0x66, 0x66, 0x33)),
];

/// Those with these names, or the usual ones.
pub(crate) fn choose(names: &[String]) -> Result<Vec<&'static Allocator>, String> {
    if names.is_empty() {
        return Ok(ALLOCATORS.iter().filter(|allocator| allocator.usual).collect());
    }
    let find = |name: &String| {
        let known = || ALLOCATORS.iter().map(|allocator| allocator.name).collect::<Vec<_>>().join(", ");
        let found = ALLOCATORS.iter().find(|allocator| allocator.name == name);
        found.ok_or_else(|| format!("no allocator is called {name}; there are {}", known()))
    };
    names.iter().map(find).collect()
}
