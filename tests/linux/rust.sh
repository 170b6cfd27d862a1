cat > main.rs <<'END'
use std::collections::BTreeMap;
fn main() {
    let mut counts = BTreeMap::new();
    for word in "a b c a b a".split(' ') {
        *counts.entry(word).or_insert(0) += 1;
    }
    let sum: u64 = std::thread::spawn(|| (1..=1000).sum()).join().unwrap();
    println!("{counts:?} {sum}");
    std::process::exit(9);
}
END
rustc -O main.rs && ./main; echo "status $?"
echo 'fn main() { let x: u8 = "a"; }' > bad.rs
rustc bad.rs 2> error; echo "status $?"; cat error
