//! [`System`]: what the system and the limits of the process allow, as the crate sees it.

use crate::page::page_size;
use crate::sys;
use std::fs;
use std::path::Path;

/// Who gets transparent huge pages, [`transparent_hugepage/enabled`](https://docs.kernel.org/admin-guide/mm/transhuge.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HugePagePolicy {
    /// All memory that they fit into.
    Always,
    /// Memory that asks for them.
    Advised,
    /// Nobody, or the kernel has none.
    Never,
}

/// How much memory the system promises, `vm.overcommit_memory` in
/// [`proc_sys_vm(5)`](https://man7.org/linux/man-pages/man5/proc_sys_vm.5.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overcommit {
    /// More than there is, but for obvious excess.
    Heuristic,
    /// Whatever is asked for.
    Always,
    /// What there is.
    Never,
}

/// The system as it is now. Limits are in bytes; `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct System {
    /// The size of a page in bytes.
    pub page_size: usize,
    /// The sizes of huge pages for a pool (hugetlb), in bytes, with the pages that are free there.
    pub pools: Vec<(usize, usize)>,
    /// Who gets transparent huge pages.
    pub huge_pages: HugePagePolicy,
    /// How much memory is promised.
    pub overcommit: Overcommit,
    /// The processors that the process may run on.
    pub processors: usize,
    /// `RLIMIT_AS`: addresses.
    pub address_space: Option<usize>,
    /// `RLIMIT_DATA`: private writable memory, touched or not.
    pub data: Option<usize>,
    /// `RLIMIT_MEMLOCK`: locked memory.
    pub locked: Option<usize>,
    /// `memory.max` of the process' control groups (version 2), the least of them.
    pub cgroup: Option<usize>,
    /// `vm.max_map_count`: the areas that a process may have, if it can be read.
    pub areas: Option<usize>,
}

impl System {
    /// Asks the system. What cannot be read is taken for the default of the kernel.
    #[must_use]
    pub fn now() -> Self {
        let huge_pages = match fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled") {
            Ok(policy) if policy.contains("[always]") => HugePagePolicy::Always,
            Ok(policy) if policy.contains("[madvise]") => HugePagePolicy::Advised,
            _ => HugePagePolicy::Never,
        };
        let overcommit = match number("/proc/sys/vm/overcommit_memory") {
            Some(1) => Overcommit::Always,
            Some(2) => Overcommit::Never,
            _ => Overcommit::Heuristic,
        };
        Self {
            page_size: page_size(),
            pools: pools(),
            huge_pages,
            overcommit,
            processors: sys::processors(),
            address_space: sys::address_space_limit(),
            data: sys::data_limit(),
            locked: sys::lock_limit(),
            cgroup: cgroup_limit(),
            areas: number("/proc/sys/vm/max_map_count"),
        }
    }
}

fn number(path: impl AsRef<Path>) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn pools() -> Vec<(usize, usize)> {
    let Ok(folders) = fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut pools: Vec<_> = folders
        .filter_map(|folder| {
            let folder = folder.ok()?;
            let name = folder.file_name();
            let kilobytes: usize = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some((kilobytes * 1024, number(folder.path().join("free_hugepages"))?))
        })
        .collect();
    pools.sort_unstable();
    pools
}

/// The least limit of the process' group and the groups above it.
fn cgroup_limit() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    root.join(group)
        .ancestors()
        .take_while(|path| path.starts_with(root))
        .filter_map(|path| number(path.join("memory.max")))
        .min()
}
