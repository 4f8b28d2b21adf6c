//! What a Rust program takes of the image: libc, and libgcc to unwind.

fn main() {
    std::panic::set_hook(Box::new(|_| ()));
    let caught = std::panic::catch_unwind(|| -> u32 { panic!("on purpose") });
    println!("caught: {}", caught.is_err());
    let sum: u64 = std::thread::spawn(|| (1..=1000).sum()).join().expect("it does not panic");
    println!("sum: {sum}");
    let account = std::fs::read_to_string("/etc/passwd").expect("every tier has the file");
    println!("users: {}", account.lines().count());
}
