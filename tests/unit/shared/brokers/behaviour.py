"""What every broker must do, specified once: a suite that each implementation's test class inherits."""

from landseries.brokers.base import Broker
from landseries.messages import encode
from landseries.pipeline import Unit

INDEX = encode("demo", Unit("index", ("t1", "2018")))
OTHER = encode("demo", Unit("index", ("t2", "2018")))
TRAIN = encode("demo", Unit("train", ("all", "multi-year")))


class BrokerBehaviour:
    """Inherit and give a `broker` fixture."""

    def test_a_message_reaches_its_service_and_no_other(self, broker: Broker) -> None:
        broker.publish([INDEX, TRAIN])
        delivery = broker.receive(["trainer"], 1)
        assert delivery is not None
        assert delivery.message.body == TRAIN.body
        assert delivery.message.type == TRAIN.type
        assert delivery.message.traceparent == TRAIN.traceparent
        delivery.ack()
        assert broker.receive(["trainer"], 0.05) is None

    def test_messages_of_a_stage_come_in_their_order(self, broker: Broker) -> None:
        broker.publish([INDEX, OTHER])
        first = broker.receive(["indexer"], 1)
        assert first is not None
        first.ack()
        second = broker.receive(["indexer"], 1)
        assert second is not None
        second.ack()
        assert [first.message.message_id, second.message.message_id] == [INDEX.message_id, OTHER.message_id]

    def test_a_retried_message_comes_again_with_its_attempt(self, broker: Broker) -> None:
        broker.publish([INDEX])
        delivery = broker.receive(["indexer"], 1)
        assert delivery is not None
        delivery.retry("the store was away")
        again = broker.receive(["indexer"], 5)
        assert again is not None
        assert again.message.attempt == 2
        assert again.message.message_id == INDEX.message_id
        again.ack()

    def test_a_dead_message_does_not_come_again(self, broker: Broker) -> None:
        broker.publish([INDEX])
        delivery = broker.receive(["indexer"], 1)
        assert delivery is not None
        delivery.dead("unreadable")
        assert broker.receive(["indexer"], 0.05) is None

    def test_a_message_for_later_comes_after_a_while_as_the_same_attempt(self, broker: Broker) -> None:
        broker.publish([INDEX])
        delivery = broker.receive(["indexer"], 1)
        assert delivery is not None
        delivery.later(1)
        assert broker.receive(["indexer"], 0.3) is None
        again = broker.receive(["indexer"], 5)
        assert again is not None
        assert (again.message.message_id, again.message.attempt) == (INDEX.message_id, 1)
        again.ack()

    def test_a_message_handed_back_comes_at_once_as_the_same_attempt(self, broker: Broker) -> None:
        broker.publish([INDEX])
        delivery = broker.receive(["indexer"], 1)
        assert delivery is not None
        delivery.hand_back()
        again = broker.receive(["indexer"], 1)
        assert again is not None
        assert (again.message.message_id, again.message.attempt) == (INDEX.message_id, 1)
        again.ack()

    def test_several_services_can_be_received_from(self, broker: Broker) -> None:
        broker.publish([INDEX, TRAIN])
        types = set()
        for _ in range(2):
            delivery = broker.receive(["indexer", "trainer"], 5)
            assert delivery is not None
            types.add(delivery.message.type)
            delivery.ack()
        assert types == {INDEX.type, TRAIN.type}
        assert broker.receive(["indexer", "trainer"], 0.1) is None
