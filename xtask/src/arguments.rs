//! Arguments: options with a number, and names.

/// The value of each option, in the order of `options`, and what is no option.
pub(crate) fn parse<const N: usize>(
    arguments: &[String],
    options: [&str; N],
) -> Result<([Option<u64>; N], Vec<String>), String> {
    let (mut values, mut names) = ([None; N], Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(option) = argument.strip_prefix("--") else {
            names.push(argument.clone());
            continue;
        };
        let (option, value) = match option.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (option, rest.next().map(String::as_str)),
        };
        let index = options
            .iter()
            .position(|known| *known == option)
            .ok_or_else(|| format!("there is no option --{option}"))?;
        let number = value.and_then(|value| value.parse().ok());
        values[index] = Some(number.ok_or_else(|| format!("--{option} needs a number"))?);
    }
    Ok((values, names))
}

/// Refuses names where there are none.
pub(crate) fn no_names(names: &[String]) -> Result<(), String> {
    names.first().map_or(Ok(()), |name| {
        Err(format!("{name} is one argument too many"))
    })
}
