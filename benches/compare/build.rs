//! Compiles the part that speaks C++, where there is a compiler and Boost's headers. Elsewhere Boost
//! takes no part, and nothing fails.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(boost)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp/boost_queue.cpp");
    let built = cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("cpp/boost_queue.cpp")
        .cargo_warnings(false)
        .try_compile("boost_queue");
    if built.is_ok() {
        println!("cargo::rustc-cfg=boost");
    }
}
