import com.solacesystems.jcsmp.*;
import com.solacesystems.jcsmp.Queue;
import com.solacesystems.jcsmp.transaction.RollbackException;
import com.solacesystems.jcsmp.transaction.TransactedSession;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What the vendor's Java client does with a broker, step by step. Arguments: address, address for compressed. */
public final class JcsmpSteps {
    private static final JCSMPFactory FACTORY = JCSMPFactory.onlyInstance();
    private static final String CLIENT = JCSMPProperties.SUPPORTED_MESSAGE_ACK_CLIENT;
    private static final String AUTO = JCSMPProperties.SUPPORTED_MESSAGE_ACK_AUTO;
    private static final Steps steps = new Steps();
    private static final Answers answers = new Answers();
    private static JCSMPSession session;
    private static XMLMessageProducer producer;
    private static int queues = 0;

    private static final class Answers implements JCSMPStreamingPublishCorrelatingEventHandler {
        final BlockingQueue<Object> all = new LinkedBlockingQueue<>();

        public void responseReceivedEx(Object key) {
            all.add(key == null ? "none" : key);
        }

        public void handleErrorEx(Object key, JCSMPException error, long time) {
            all.add(error);
        }
    }

    private static final class Received implements XMLMessageListener {
        final BlockingQueue<BytesXMLMessage> all = new LinkedBlockingQueue<>();

        public void onReceive(BytesXMLMessage message) {
            all.add(message);
        }

        public void onException(JCSMPException error) {
            throw new IllegalStateException(error);
        }
    }

    private static JCSMPSession connect(String host, int compression) throws JCSMPException {
        JCSMPProperties properties = new JCSMPProperties();
        properties.setProperty(JCSMPProperties.HOST, host);
        properties.setProperty(JCSMPProperties.VPN_NAME, "default");
        properties.setProperty(JCSMPProperties.USERNAME, "default");
        ((JCSMPChannelProperties) properties.getProperty(JCSMPProperties.CLIENT_CHANNEL_PROPERTIES))
            .setCompressionLevel(compression);
        JCSMPSession made = FACTORY.createSession(properties);
        made.connect();
        return made;
    }

    private static Queue queue(boolean respectsTtl) throws JCSMPException {
        EndpointProperties properties = new EndpointProperties();
        properties.setPermission(EndpointProperties.PERMISSION_DELETE);
        properties.setAccessType(EndpointProperties.ACCESSTYPE_EXCLUSIVE);
        properties.setRespectsMsgTTL(respectsTtl);
        Queue made = FACTORY.createQueue("java/" + ++queues);
        session.provision(made, properties, JCSMPSession.FLAG_IGNORE_ALREADY_EXISTS);
        return made;
    }

    private static ConsumerFlowProperties flowOf(Endpoint endpoint, String acknowledge) {
        ConsumerFlowProperties properties = new ConsumerFlowProperties();
        properties.setEndpoint(endpoint);
        properties.setAckMode(acknowledge);
        return properties;
    }

    private static FlowReceiver bind(ConsumerFlowProperties properties) throws JCSMPException {
        FlowReceiver flow = session.createFlow(null, properties);
        steps.keep(flow, flow::close);
        flow.start();
        return flow;
    }

    private static TextMessage text(String content) {
        TextMessage message = FACTORY.createMessage(TextMessage.class);
        message.setText(content);
        message.setDeliveryMode(DeliveryMode.PERSISTENT);
        return message;
    }

    private static void send(XMLMessage message, Destination destination) throws Exception {
        answers.all.clear();
        producer.send(message, destination);
        Object answer = answers.all.poll(60, TimeUnit.SECONDS);
        Steps.check(answer != null && !(answer instanceof JCSMPException), "an acknowledgement, not " + answer);
    }

    /** Counts what comes: waits for what is expected, and a moment for more. */
    private static int count(FlowReceiver flow, boolean acknowledge, int expected) throws JCSMPException {
        int found = 0;
        BytesXMLMessage message;
        while ((message = flow.receive(found < expected ? 60_000 : 700)) != null) {
            found++;
            if (acknowledge) {
                message.ackMessage();
            }
        }
        return found;
    }

    private static void fill(Queue queue, int messages) throws Exception {
        for (int number = 0; number < messages; number++) {
            TextMessage message = text("m" + number);
            SDTMap properties = FACTORY.createMap();
            properties.putInteger("n", number);
            properties.putString("kind", number % 2 == 0 ? "even" : "odd");
            message.setProperties(properties);
            send(message, queue);
        }
    }

    public static void main(String[] arguments) throws Exception {
        session = connect(arguments[0], 0);
        producer = session.getMessageProducer(answers);
        steps.step("direct messages reach a subscriber until it unsubscribes", () -> {
            Received received = new Received();
            XMLMessageConsumer consumer = session.getMessageConsumer(received);
            steps.keep(consumer, consumer::close);
            session.addSubscription(FACTORY.createTopic("direct/>"));
            consumer.start();
            TextMessage message = FACTORY.createMessage(TextMessage.class);
            message.setText("one");
            producer.send(message, FACTORY.createTopic("direct/a"));
            Steps.check(((TextMessage) received.all.poll(60, TimeUnit.SECONDS)).getText().equals("one"), "one");
            session.removeSubscription(FACTORY.createTopic("direct/>"));
            producer.send(message, FACTORY.createTopic("direct/a"));
            Steps.check(received.all.poll(400, TimeUnit.MILLISECONDS) == null, "nothing more");
        });
        steps.step("a request is answered", () -> {
            JCSMPSession other = connect(arguments[0], 0);
            steps.keep(other, other::closeSession);
            XMLMessageProducer replier = other.getMessageProducer(new Answers());
            XMLMessageConsumer consumer = other.getMessageConsumer(new XMLMessageListener() {
                public void onReceive(BytesXMLMessage message) {
                    try {
                        TextMessage reply = FACTORY.createMessage(TextMessage.class);
                        reply.setText("pong");
                        replier.sendReply(message, reply);
                    } catch (JCSMPException error) {
                        throw new IllegalStateException(error);
                    }
                }

                public void onException(JCSMPException error) {}
            });
            other.addSubscription(FACTORY.createTopic("requests"));
            consumer.start();
            XMLMessageConsumer own = session.getMessageConsumer((XMLMessageListener) null);
            steps.keep(own, own::close);
            own.start();
            TextMessage message = FACTORY.createMessage(TextMessage.class);
            message.setText("ping");
            BytesXMLMessage reply = session.createRequestor().request(message, 60_000, FACTORY.createTopic("requests"));
            Steps.check(((TextMessage) reply).getText().equals("pong"), "pong");
        });
        steps.step("a shared subscription is balanced", () -> {
            Received[] received = {new Received(), new Received()};
            for (Received own : received) {
                JCSMPSession member = connect(arguments[0], 0);
                steps.keep(member, member::closeSession);
                XMLMessageConsumer consumer = member.getMessageConsumer(own);
                member.addSubscription(FACTORY.createTopic("#share/group/shared/>"));
                consumer.start();
            }
            for (int number = 0; number < 100; number++) {
                TextMessage message = FACTORY.createMessage(TextMessage.class);
                message.setText("x");
                producer.send(message, FACTORY.createTopic("shared/" + number));
            }
            long end = System.nanoTime() + 60_000_000_000L;
            while (received[0].all.size() + received[1].all.size() < 100 && System.nanoTime() < end) {
                Thread.onSpinWait();
            }
            Steps.check(received[0].all.size() + received[1].all.size() == 100, "each message once");
            Steps.check(Math.min(received[0].all.size(), received[1].all.size()) > 20, "both to get their share");
        });
        steps.step("a queue that exists is told", () -> {
            Queue queue = queue(false);
            try {
                session.provision(queue, new EndpointProperties(), 0);
                Steps.check(false, "a refusal");
            } catch (JCSMPErrorResponseException error) {
                int code = error.getSubcodeEx();
                Steps.check(code == JCSMPErrorResponseSubcodeEx.ENDPOINT_ALREADY_EXISTS
                    || code == JCSMPErrorResponseSubcodeEx.ENDPOINT_PROPERTY_MISMATCH, "it exists, not " + error);
            }
        });
        steps.step("a queue's subscription feeds it", () -> {
            Queue queue = queue(false);
            session.addSubscription(queue, FACTORY.createTopic("fed/>"), JCSMPSession.WAIT_FOR_CONFIRM);
            send(text("x"), FACTORY.createTopic("fed/a"));
            Steps.check(count(bind(flowOf(queue, AUTO)), false, 1) == 1, "one message");
            session.removeSubscription(queue, FACTORY.createTopic("fed/>"), JCSMPSession.WAIT_FOR_CONFIRM);
        });
        steps.step("a browser sees all and takes nothing, also by selector", () -> {
            Queue queue = queue(false);
            fill(queue, 20);
            for (String selector : new String[] {null, "kind = 'odd' AND n > 9"}) {
                BrowserProperties properties = new BrowserProperties();
                properties.setEndpoint(queue);
                properties.setWaitTimeout(1500);
                properties.setSelector(selector);
                Browser browser = session.createBrowser(properties);
                int found = 0;
                while (browser.getNext() != null) {
                    found++;
                }
                browser.close();
                Steps.check(found == (selector == null ? 20 : 5), "another number than " + found);
            }
            Steps.check(count(bind(flowOf(queue, AUTO)), false, 20) == 20, "all still there");
        });
        steps.step("a selector picks, what is not acknowledged comes again", () -> {
            Queue queue = queue(false);
            fill(queue, 10);
            ConsumerFlowProperties picking = flowOf(queue, CLIENT);
            picking.setSelector("n BETWEEN 5 AND 9 OR kind LIKE 'e%n' AND n < 3");
            FlowReceiver flow = bind(picking);
            Steps.check(count(flow, true, 7) == 7, "seven");
            flow.close();
            flow = bind(flowOf(queue, CLIENT));
            Steps.check(count(flow, false, 3) == 3, "three");
            flow.close();
            BytesXMLMessage again = bind(flowOf(queue, AUTO)).receive(60_000);
            Steps.check(again != null && again.getRedelivered(), "a redelivery");
        });
        steps.step("a selector that is none is refused", () -> {
            ConsumerFlowProperties wrong = flowOf(queue(false), CLIENT);
            wrong.setSelector("n = = 1");
            try {
                bind(wrong);
                Steps.check(false, "a refusal");
            } catch (JCSMPErrorResponseException error) {
                Steps.check(error.getResponsePhrase().contains("Selector"), "the selector, not " + error);
            }
        });
        steps.step("failed comes again, rejected does not", () -> {
            Queue queue = queue(false);
            send(text("x"), queue);
            ConsumerFlowProperties properties = flowOf(queue, CLIENT);
            properties.addRequiredSettlementOutcomes(XMLMessage.Outcome.FAILED, XMLMessage.Outcome.REJECTED);
            FlowReceiver flow = bind(properties);
            flow.receive(60_000).settle(XMLMessage.Outcome.FAILED);
            BytesXMLMessage again = flow.receive(60_000);
            Steps.check(again.getRedelivered(), "a redelivery");
            again.settle(XMLMessage.Outcome.REJECTED);
            Steps.check(flow.receive(500) == null, "nothing more");
        });
        steps.step("a transaction publishes and consumes, or takes all back", () -> {
            Queue queue = queue(false);
            TransactedSession transacted = session.createTransactedSession();
            steps.keep(transacted, transacted::close);
            XMLMessageProducer within = transacted.createProducer(new ProducerFlowProperties(), answers);
            for (int number = 0; number < 10; number++) {
                within.send(text("t" + number), queue);
            }
            transacted.commit();
            ConsumerFlowProperties properties = flowOf(queue, AUTO);
            properties.setStartState(true);
            FlowReceiver flow = transacted.createFlow(null, properties, new EndpointProperties());
            for (int number = 0; number < 4; number++) {
                Steps.check(flow.receive(60_000) != null, "message " + number);
            }
            transacted.rollback();
            for (int number = 0; number < 10; number++) {
                TextMessage again = (TextMessage) flow.receive(60_000);
                Steps.check(again.getText().equals("t" + number), "t" + number + ", not " + again.getText());
            }
            within.send(text("out"), queue);
            transacted.commit();
            Steps.check(((TextMessage) flow.receive(60_000)).getText().equals("out"), "out");
            transacted.commit();
        });
        steps.step("a transaction above the limit is rolled back", () -> {
            Queue queue = queue(false);
            TransactedSession transacted = session.createTransactedSession();
            steps.keep(transacted, transacted::close);
            XMLMessageProducer within = transacted.createProducer(new ProducerFlowProperties(), answers);
            try {
                for (int number = 0; number < 257; number++) {
                    within.send(text("t"), queue);
                }
                transacted.commit();
                Steps.check(false, "a rollback");
            } catch (RollbackException expected) {
                Steps.check(count(bind(flowOf(queue, AUTO)), false, 0) == 0, "nothing");
            }
        });
        steps.step("a temporary queue lives with its flow", () -> {
            Queue temporary = session.createTemporaryQueue();
            FlowReceiver flow = bind(flowOf(temporary, AUTO));
            send(text("x"), temporary);
            Steps.check(flow.receive(60_000) != null, "a message");
        });
        steps.step("a durable topic endpoint keeps what comes while nobody listens", () -> {
            TopicEndpoint endpoint = FACTORY.createDurableTopicEndpointEx("java-subscriber");
            EndpointProperties properties = new EndpointProperties();
            properties.setPermission(EndpointProperties.PERMISSION_DELETE);
            session.provision(endpoint, properties, 0);
            ConsumerFlowProperties listening = flowOf(endpoint, AUTO);
            listening.setNewSubscription(FACTORY.createTopic("durable/>"));
            FlowReceiver flow = bind(listening);
            send(text("1"), FACTORY.createTopic("durable/a"));
            Steps.check(flow.receive(60_000) != null, "the first");
            flow.close();
            send(text("2"), FACTORY.createTopic("durable/a"));
            flow = bind(listening);
            Steps.check(((TextMessage) flow.receive(60_000)).getText().equals("2"), "the second");
            flow.close();
            session.deprovision(endpoint, 0);
        });
        steps.step("a temporary topic endpoint gets its topic", () -> {
            TopicEndpoint endpoint = session.createNonDurableTopicEndpoint();
            ConsumerFlowProperties listening = flowOf(endpoint, AUTO);
            listening.setNewSubscription(FACTORY.createTopic("passing/a"));
            FlowReceiver flow = bind(listening);
            send(text("x"), FACTORY.createTopic("passing/a"));
            Steps.check(flow.receive(60_000) != null, "a message");
        });
        steps.step("a standby flow is told when it becomes active", () -> {
            ConsumerFlowProperties properties = flowOf(queue(false), AUTO);
            properties.setActiveFlowIndication(true);
            BlockingQueue<FlowEvent> events = new LinkedBlockingQueue<>();
            FlowReceiver first = session.createFlow(null, properties, null, (source, event) -> {});
            FlowReceiver second =
                session.createFlow(null, properties, null, (source, event) -> events.add(event.getEvent()));
            steps.keep(second, second::close);
            first.close();
            FlowEvent event;
            do {
                event = events.poll(60, TimeUnit.SECONDS);
            } while (event != null && event != FlowEvent.FLOW_ACTIVE);
            Steps.check(event == FlowEvent.FLOW_ACTIVE, "FLOW_ACTIVE");
        });
        steps.step("a message that expires goes to the dead message queue", () -> {
            EndpointProperties properties = new EndpointProperties();
            properties.setPermission(EndpointProperties.PERMISSION_DELETE);
            Queue dead = FACTORY.createQueue("#DEAD_MSG_QUEUE");
            session.provision(dead, properties, JCSMPSession.FLAG_IGNORE_ALREADY_EXISTS);
            Queue queue = queue(true);
            TextMessage message = text("dies");
            message.setTimeToLive(200);
            message.setDMQEligible(true);
            send(message, queue);
            Steps.check(bind(flowOf(dead, AUTO)).receive(60_000) != null, "it there");
            Steps.check(bind(flowOf(queue, AUTO)).receive(300) == null, "nothing here");
        });
        steps.step("a replay brings what was consumed", () -> {
            Queue queue = queue(false);
            send(text("x"), queue);
            FlowReceiver flow = bind(flowOf(queue, AUTO));
            Steps.check(flow.receive(60_000) != null, "a message");
            flow.close();
            ConsumerFlowProperties again = flowOf(queue, AUTO);
            again.setReplayStartLocation(FACTORY.createReplayStartLocationBeginning());
            Steps.check(bind(again).receive(60_000) != null, "it again");
        });
        steps.step("every kind of content arrives as it was", () -> {
            Queue queue = queue(false);
            MapMessage map = FACTORY.createMessage(MapMessage.class);
            SDTMap entries = FACTORY.createMap();
            entries.putInteger("i", 7);
            map.setMap(entries);
            StreamMessage stream = FACTORY.createMessage(StreamMessage.class);
            SDTStream items = FACTORY.createStream();
            items.writeLong(5L);
            stream.setStream(items);
            BytesMessage bytes = FACTORY.createMessage(BytesMessage.class);
            bytes.setData(new byte[1_000_000]);
            XMLContentMessage xml = FACTORY.createMessage(XMLContentMessage.class);
            xml.setXMLContent("<a/>");
            for (XMLMessage message : new XMLMessage[] {map, stream, bytes, xml}) {
                message.setDeliveryMode(DeliveryMode.PERSISTENT);
                send(message, queue);
            }
            FlowReceiver flow = bind(flowOf(queue, AUTO));
            Steps.check(((MapMessage) flow.receive(60_000)).getMap().getInteger("i") == 7, "a map");
            Steps.check(((StreamMessage) flow.receive(60_000)).getStream().readLong() == 5, "a stream");
            Steps.check(((BytesMessage) flow.receive(60_000)).getData().length == 1_000_000, "a megabyte");
            Steps.check(((XMLContentMessage) flow.receive(60_000)).getXMLContent().equals("<a/>"), "XML");
        });
        steps.step("fifty messages are sent in one call", () -> {
            Queue queue = queue(false);
            JCSMPSendMultipleEntry[] entries = new JCSMPSendMultipleEntry[50];
            for (int number = 0; number < entries.length; number++) {
                entries[number] = FACTORY.createSendMultipleEntry(text("m" + number), queue);
            }
            Steps.check(producer.sendMultiple(entries, 0, entries.length, 0) == 50, "fifty sent");
            Steps.check(count(bind(flowOf(queue, AUTO)), false, 50) == 50, "fifty received");
        });
        steps.step("a queue that does not exist refuses messages", () -> {
            answers.all.clear();
            producer.send(text("x"), FACTORY.createQueue("nobody"));
            Object answer = answers.all.poll(60, TimeUnit.SECONDS);
            Steps.check(answer instanceof JCSMPException, "an error, not " + answer);
        });
        steps.step("a queue is deleted, and then is unknown", () -> {
            Queue queue = queue(false);
            session.deprovision(queue, 0);
            try {
                session.deprovision(queue, 0);
                Steps.check(false, "a refusal");
            } catch (JCSMPErrorResponseException error) {
                Steps.check(error.getSubcodeEx() == JCSMPErrorResponseSubcodeEx.UNKNOWN_QUEUE_NAME, "unknown: " + error);
            }
        });
        steps.step("a client changes its name", () -> {
            session.setProperty(JCSMPProperties.CLIENT_NAME, "renamed");
            session.setProperty(JCSMPProperties.APPLICATION_DESCRIPTION, "what it is");
        });
        steps.step("a compressed connection works", () -> connect(arguments[1], 9).closeSession());
        session.closeSession();
        steps.end();
    }
}
