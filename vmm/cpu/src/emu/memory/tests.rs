//! Page walks and TLBs, without a CPU.

use vm_memory::{Bytes, GuestAddress};
use x86::{PageFaultErrorCode as Fault, PageTableFlags as Flags, vector};

use crate::emu::memory::mmu::Mmu;
use crate::emu::memory::ram::{PAGE, Ram};
use crate::emu::memory::walk::{Translation, Want, read_pdptes, walk};
use crate::emu::state::control::{Control, Privilege, bits};
use crate::memory::GuestRam;
use crate::state::Place;

const RAM: u64 = 1 << 20;
/// Tables of the four levels, top first.
const TABLES: [u64; 4] = [0x1000, 0x2000, 0x3000, 0x4000];
/// A linear page, and where the tables put it.
const LA: u64 = 0x7fff_1234_5000;
const GPA: u64 = 0x8000;

/// RAM with tables that map [`LA`] to [`GPA`] with `flags`, and the control state to use them.
fn paging(flags: Flags) -> (GuestRam, Control) {
    let ram = GuestRam::new(RAM).expect("memory");
    let upper = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE;
    for (level, table) in TABLES.into_iter().enumerate() {
        let entry = match TABLES.get(level + 1) {
            Some(next) => next | upper.bits(),
            None => GPA | flags.bits(),
        };
        write(&ram, place(table, level), entry);
    }
    let mut control = Control::new(Place::ONLY);
    control.cr0 = bits::CR0_PE | bits::CR0_PG | bits::CR0_WP;
    control.cr3 = TABLES[0];
    control.cr4 = bits::CR4_PAE | bits::CR4_PGE;
    control.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_NXE;
    (ram, control)
}

/// Where `table` of `level`, 0 for the top, has the entry for [`LA`].
fn place(table: u64, level: usize) -> u64 {
    table + 8 * (LA >> (39 - 9 * level) & 0x1ff)
}

fn write(ram: &GuestRam, gpa: u64, value: u64) {
    let at = GuestAddress(gpa);
    ram.mmap().write_obj(value, at).expect("RAM is there");
}

fn read(ram: &GuestRam, gpa: u64) -> u64 {
    let at = GuestAddress(gpa);
    ram.mmap().read_obj(at).expect("RAM is there")
}

fn leaf(ram: &GuestRam) -> Flags {
    Flags::from_bits_truncate(read(ram, place(TABLES[3], 3)))
}

#[test]
fn a_walk_finds_the_page_and_marks_what_it_used() {
    let (ram, control) = paging(Flags::PRESENT | Flags::WRITABLE | Flags::GLOBAL);
    let emulated = Ram::new(ram.clone());
    let privilege = Privilege::Supervisor;
    let found = walk(&emulated, &control, LA + 0x123, Want::Read, privilege).expect("mapped");
    assert_eq!(found.gpa, GPA + 0x123);
    assert!(found.global && !found.large);
    assert!(!found.writable, "the dirty bit is not set yet");
    let mut marked: Vec<_> = found.marked.into_iter().flatten().collect();
    marked.sort_unstable();
    let entries: Vec<_> = (0..4).map(|level| place(TABLES[level], level)).collect();
    assert_eq!(marked, entries);
    assert!(leaf(&ram).contains(Flags::ACCESSED) && !leaf(&ram).contains(Flags::DIRTY));

    let found = walk(&emulated, &control, LA, Want::Write, privilege).expect("mapped");
    assert!(found.writable && leaf(&ram).contains(Flags::DIRTY));
    assert_eq!(
        found.marked.into_iter().flatten().collect::<Vec<_>>(),
        [entries[3]]
    );
    let again = walk(&emulated, &control, LA, Want::Write, privilege).expect("mapped");
    assert_eq!(again.marked, [None; 4]);
}

#[test]
fn a_walk_says_what_is_forbidden() {
    let user = Flags::PRESENT | Flags::USER_ACCESSIBLE;
    let cases = [
        (
            Flags::empty(),
            Want::Read,
            Privilege::Supervisor,
            Fault::empty(),
        ),
        (
            user,
            Want::Write,
            Privilege::User,
            Fault::PROTECTION_VIOLATION | Fault::CAUSED_BY_WRITE | Fault::USER_MODE,
        ),
        (
            Flags::PRESENT,
            Want::Read,
            Privilege::User,
            Fault::PROTECTION_VIOLATION | Fault::USER_MODE,
        ),
        (
            user | Flags::NO_EXECUTE,
            Want::Fetch,
            Privilege::User,
            Fault::PROTECTION_VIOLATION | Fault::INSTRUCTION_FETCH | Fault::USER_MODE,
        ),
        (
            Flags::PRESENT,
            Want::Write,
            Privilege::Supervisor,
            Fault::PROTECTION_VIOLATION | Fault::CAUSED_BY_WRITE,
        ),
        // The physical address is wider than the processor's.
        (
            Flags::PRESENT | Flags::from_bits_retain(1 << 50),
            Want::Read,
            Privilege::Supervisor,
            Fault::PROTECTION_VIOLATION | Fault::MALFORMED_TABLE,
        ),
    ];
    for (flags, want, privilege, code) in cases {
        let (ram, control) = paging(flags);
        let fault = walk(&Ram::new(ram), &control, LA, want, privilege);
        let fault = fault.expect_err("it is forbidden");
        assert_eq!(
            (fault.vector, fault.code),
            (vector::PF, Some(code.bits() as u16))
        );
    }
}

#[test]
fn smap_and_smep_keep_the_supervisor_from_user_pages() {
    let (ram, mut control) = paging(Flags::PRESENT | Flags::USER_ACCESSIBLE);
    control.cr4 |= bits::CR4_SMAP | bits::CR4_SMEP;
    let ram = Ram::new(ram);
    let allowed = |want, privilege| walk(&ram, &control, LA, want, privilege).is_ok();
    assert!(!allowed(Want::Read, Privilege::Supervisor));
    assert!(allowed(Want::Read, Privilege::SupervisorAc));
    assert!(!allowed(Want::Fetch, Privilege::SupervisorAc));
    assert!(allowed(Want::Fetch, Privilege::User));
}

/// The result of a walk to the page at `gpa`.
fn found(gpa: u64, global: bool, large: bool) -> Translation {
    Translation {
        gpa,
        writable: true,
        global,
        large,
        marked: [None; 4],
    }
}

/// An MMU with the TLB for `privilege` selected, and where its RAM has the page at [`GPA`].
fn mmu(privilege: Privilege) -> (Mmu, *mut u8) {
    let mut mmu = Mmu::new(Ram::new(GuestRam::new(RAM).expect("memory")));
    mmu.select(Some(privilege));
    let host = mmu.ram.host(GPA).expect("RAM is there");
    (mmu, host)
}

#[test]
fn a_tlb_hits_within_a_page_of_its_privilege() {
    let (mut mmu, host) = mmu(Privilege::User);
    assert_eq!(mmu.read(LA, 1), None);
    mmu.insert(Privilege::User, LA, true, &found(GPA, false, false));
    assert_eq!(mmu.read(LA + 8, 8), Some(host.wrapping_add(8).cast_const()));
    assert_eq!(mmu.write(LA + PAGE - 1, 1), Some(host.wrapping_add(4095)));
    assert_eq!(
        mmu.read(LA + PAGE - 1, 2),
        None,
        "it crosses into the next page"
    );
    assert_eq!(mmu.read_as(Privilege::Supervisor, LA, 1), None);
    mmu.select(None);
    assert_eq!(mmu.read(LA, 1), None);
}

#[test]
fn a_tlb_that_grows_stays_in_view() {
    let (mut mmu, _) = mmu(Privilege::User);
    let found = found(GPA, false, false);
    for page in 0..4096 {
        mmu.insert(Privilege::User, LA + page * PAGE, true, &found);
        assert!(mmu.read(LA + page * PAGE, 8).is_some());
    }
}

#[test]
fn flushes_drop_what_they_name() {
    let (mut mmu, _) = mmu(Privilege::User);
    let (local, global, large) = (LA, LA + PAGE, LA + (1 << 30) + 2 * PAGE);
    let fill = |mmu: &mut Mmu| {
        mmu.insert(Privilege::User, local, true, &found(GPA, false, false));
        mmu.insert(Privilege::User, global, true, &found(GPA, true, false));
        mmu.insert(Privilege::User, large, true, &found(GPA, true, true));
    };
    let hits = |mmu: &Mmu| [local, global, large].map(|la| mmu.read(la, 1).is_some());
    // The pages have different entries in the table.
    fill(&mut mmu);
    assert_eq!(hits(&mmu), [true; 3]);
    mmu.flush(true);
    assert_eq!(hits(&mmu), [false, true, true]);
    fill(&mut mmu);
    mmu.flush_page(local);
    assert_eq!(hits(&mmu), [false, true, true]);
    // All of a large page is invalidated, wherever in it the address is.
    fill(&mut mmu);
    mmu.flush_page(large + 5 * PAGE);
    assert!(!hits(&mmu)[2]);
    fill(&mut mmu);
    mmu.flush(false);
    assert_eq!(hits(&mmu), [false; 3]);
}

#[test]
fn a_protected_page_is_read_only() {
    let (mut mmu, host) = mmu(Privilege::User);
    let other = found(GPA + PAGE, false, false);
    mmu.insert(Privilege::User, LA, true, &found(GPA, false, false));
    mmu.insert(Privilege::User, LA + PAGE, true, &other);
    mmu.protect(host);
    assert!(mmu.read(LA, 1).is_some() && mmu.write(LA, 1).is_none());
    assert!(mmu.write(LA + PAGE, 1).is_some());
}

#[test]
fn a_tlb_has_pages_of_ram_alone() {
    let (mut mmu, _) = mmu(Privilege::User);
    mmu.insert(Privilege::User, LA, true, &found(RAM, false, false));
    assert_eq!(mmu.read(LA, 1), None);
}

/// Control state for legacy paging with tables at the first of [`TABLES`].
fn legacy_paging(cr4: u64) -> Control {
    let mut control = Control::new(Place::ONLY);
    control.cr0 = bits::CR0_PE | bits::CR0_PG | bits::CR0_WP;
    control.cr3 = TABLES[0];
    control.cr4 = cr4;
    control
}

fn write_u32(ram: &GuestRam, gpa: u64, value: u64) {
    let at = GuestAddress(gpa);
    ram.mmap()
        .write_obj(value as u32, at)
        .expect("RAM is there");
}

#[test]
fn two_level_walks() {
    const LA: u64 = 0xc123_4567;
    let ram = GuestRam::new(RAM).expect("memory");
    let emulated = Ram::new(ram.clone());
    let directory = TABLES[0] + 4 * (LA >> 22);
    let table = TABLES[1] + 4 * (LA >> 12 & 0x3ff);
    let usable = (Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE).bits();
    write_u32(&ram, directory, TABLES[1] | usable);
    write_u32(&ram, table, GPA | usable);
    let mut control = legacy_paging(0);
    let walk_to =
        |control: &Control, want| walk(&emulated, control, LA, want, Privilege::Supervisor);
    let found = walk_to(&control, Want::Write).expect("mapped");
    assert_eq!(found.gpa, GPA + 0x567);
    assert!(found.writable && !found.large);
    let dirty = (Flags::ACCESSED | Flags::DIRTY).bits();
    assert_eq!(read(&ram, table) & 0xfff, usable | dirty);

    // A large page above 4 GiB, but only where CR4 says so.
    let large = usable | Flags::HUGE_PAGE.bits();
    write_u32(&ram, directory, 0x0340_0000 | 0x12 << 13 | large);
    assert!(!walk_to(&control, Want::Read).is_ok_and(|found| found.large));
    control.cr4 = bits::CR4_PSE;
    let found = walk_to(&control, Want::Read).expect("mapped");
    assert_eq!(found.gpa, 0x12_0340_0000 | LA & 0x3f_ffff);
    assert!(found.large);
    write_u32(&ram, directory, 1 << 21 | large);
    let fault = walk_to(&control, Want::Read).expect_err("a bit must be zero");
    let code = Fault::PROTECTION_VIOLATION | Fault::MALFORMED_TABLE;
    assert_eq!(fault.code, Some(code.bits() as u16));
}

#[test]
fn walks_by_page_directory_pointers() {
    const LA: u64 = 0xc123_4567;
    let ram = GuestRam::new(RAM).expect("memory");
    let emulated = Ram::new(ram.clone());
    let usable = (Flags::PRESENT | Flags::WRITABLE).bits();
    let pointer = TABLES[0] + 8 * (LA >> 30);
    write(&ram, pointer, TABLES[1] | Flags::PRESENT.bits());
    let directory = TABLES[1] + 8 * (LA >> 21 & 0x1ff);
    write(&ram, directory, TABLES[2] | usable);
    let table = TABLES[2] + 8 * (LA >> 12 & 0x1ff);
    write(&ram, table, GPA | usable | Flags::NO_EXECUTE.bits());
    let mut control = legacy_paging(bits::CR4_PAE);
    control.efer = bits::EFER_NXE;
    control.pdptes = read_pdptes(&emulated, control.cr3).expect("good pointers");
    let walk_to = |la, want| walk(&emulated, &control, la, want, Privilege::Supervisor);
    let found = walk_to(LA, Want::Write).expect("mapped");
    assert_eq!(found.gpa, GPA + 0x567);
    assert_eq!(found.marked.into_iter().flatten().count(), 2);
    let fault = walk_to(LA, Want::Fetch).expect_err("no code");
    let code = Fault::PROTECTION_VIOLATION | Fault::INSTRUCTION_FETCH;
    assert_eq!(fault.code, Some(code.bits() as u16));
    let fault = walk_to(0x4000_0000, Want::Read).expect_err("no directory");
    assert_eq!(fault.code, Some(0));

    write(&ram, pointer, TABLES[1] | usable);
    assert!(
        read_pdptes(&emulated, control.cr3).is_err(),
        "a bit must be zero"
    );
}
