"""Shows every message of a broadcast ring, and goes on under its name when it is started again:  subscriber.py ADDRESS NAME"""

import sys

import ringway

address, name = sys.argv[1:]
with ringway.open(address).subscribe(name=name) as receiver:
    print("ready", flush=True)
    while True:
        try:
            with receiver.recv_view() as message:
                # Acknowledged at the end of the block.
                print(str(message, "ascii"), flush=True)
        except ringway.Lagged as error:
            print(f"missed {error.missed}", flush=True)
        except ringway.PeerDied:
            # The next one goes on.
            receiver.wait_for_peer()
        except ringway.Closed:
            print("end", flush=True)
            break
