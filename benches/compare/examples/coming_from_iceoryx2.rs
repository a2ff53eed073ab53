use iceoryx2::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let orders = node
        .service_builder(&"orders".try_into()?)
        .publish_subscribe::<u64>()
        .open_or_create()?;
    let subscriber = orders.subscriber_builder().create()?;
    let publisher = orders.publisher_builder().create()?;

    publisher.loan_uninit()?.write_payload(100).send()?;
    if let Some(order) = subscriber.receive()? {
        println!("buy {}", *order);
    }
    Ok(())
}
