import com.solacesystems.jms.SolConnectionFactory;
import com.solacesystems.jms.SolJmsUtility;
import java.util.Enumeration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.jms.*;

/** What a JMS program does with a broker, step by step. Arguments: address, name of a queue that respects expiry. */
public final class JmsSteps {
    private static final Steps steps = new Steps();
    private static Connection connection;

    private static Session session(boolean transacted, int acknowledge) throws JMSException {
        Session made = connection.createSession(transacted, acknowledge);
        return steps.keep(made, made::close);
    }

    private static Session session() throws JMSException {
        return session(false, Session.AUTO_ACKNOWLEDGE);
    }

    /** Counts what comes: waits for what is expected, and a moment for more. */
    private static int count(MessageConsumer consumer, int expected) throws JMSException {
        int found = 0;
        while (consumer.receive(found < expected ? 60_000 : 700) != null) {
            found++;
        }
        return found;
    }

    private static void send(Session session, Destination destination, String prefix, int messages) throws JMSException {
        MessageProducer producer = session.createProducer(destination);
        for (int number = 0; number < messages; number++) {
            TextMessage message = session.createTextMessage(prefix + number);
            message.setIntProperty("n", number);
            message.setStringProperty("color", number % 2 == 0 ? "red" : "blue");
            producer.send(message);
        }
    }

    private static String textOf(MessageConsumer consumer) throws JMSException {
        return ((TextMessage) consumer.receive(60_000)).getText();
    }

    public static void main(String[] arguments) throws Exception {
        SolConnectionFactory factory = SolJmsUtility.createConnectionFactory();
        factory.setHost(arguments[0]);
        factory.setVPN("default");
        factory.setUsername("default");
        factory.setPassword("");
        factory.setDirectTransport(false);
        factory.setDynamicDurables(true);
        factory.setBrowserTimeoutInMS(3000);
        connection = factory.createConnection();
        connection.start();
        Session names = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        Queue queue = names.createQueue(arguments[1]);
        steps.step("every kind of message arrives as it was", () -> {
            Session session = session();
            MessageConsumer consumer = session.createConsumer(queue);
            MessageProducer producer = session.createProducer(queue);
            BytesMessage bytes = session.createBytesMessage();
            bytes.writeBytes(new byte[] {1, 2, 3});
            MapMessage map = session.createMapMessage();
            map.setInt("i", 1);
            StreamMessage stream = session.createStreamMessage();
            stream.writeLong(4);
            for (Message message : new Message[] {session.createTextMessage("text"), bytes, map, stream,
                    session.createObjectMessage("object")}) {
                producer.send(message);
            }
            Steps.check(textOf(consumer).equals("text"), "a text");
            Steps.check(((BytesMessage) consumer.receive(60_000)).getBodyLength() == 3, "bytes");
            Steps.check(((MapMessage) consumer.receive(60_000)).getInt("i") == 1, "a map");
            Steps.check(((StreamMessage) consumer.receive(60_000)).readLong() == 4, "a stream");
            Steps.check(((ObjectMessage) consumer.receive(60_000)).getObject().equals("object"), "an object");
        });
        steps.step("headers and properties arrive", () -> {
            Session session = session();
            MessageConsumer consumer = session.createConsumer(queue);
            TextMessage message = session.createTextMessage("x");
            message.setJMSCorrelationID("correlation");
            message.setJMSType("type");
            message.setJMSReplyTo(queue);
            message.setIntProperty("i", 5);
            message.setBooleanProperty("b", true);
            message.setDoubleProperty("d", 1.5);
            session.createProducer(queue).send(message, DeliveryMode.PERSISTENT, 7, 60_000);
            Message found = consumer.receive(60_000);
            Steps.check(found.getJMSCorrelationID().equals("correlation") && found.getJMSType().equals("type"), "texts");
            Steps.check(found.getIntProperty("i") == 5 && found.getBooleanProperty("b"), "properties");
            Steps.check(found.getDoubleProperty("d") == 1.5 && found.getJMSPriority() == 7, "numbers");
            Steps.check(found.getJMSMessageID() != null && found.getJMSReplyTo() != null, "an id and a reply-to");
            Steps.check(found.getJMSExpiration() > 0, "an expiration");
        });
        steps.step("a selector picks", () -> {
            Session session = session();
            send(session, queue, "s", 10);
            MessageConsumer picking = session.createConsumer(queue, "n >= 4 AND color = 'red' AND JMSPriority = 4");
            Steps.check(count(picking, 3) == 3, "three");
            picking.close();
            Steps.check(count(session.createConsumer(queue), 7) == 7, "the other seven");
        });
        steps.step("a selector that is none is refused", () -> {
            try {
                session().createConsumer(queue, "n >>> 4");
                Steps.check(false, "a refusal");
            } catch (InvalidSelectorException expected) {
                return;
            }
        });
        steps.step("a browser takes nothing", () -> {
            Session session = session();
            send(session, queue, "b", 5);
            QueueBrowser browser = session.createBrowser(queue);
            int found = 0;
            for (Enumeration<?> all = browser.getEnumeration(); all.hasMoreElements(); all.nextElement()) {
                found++;
            }
            browser.close();
            Steps.check(found == 5, "five, not " + found);
            Steps.check(count(session.createConsumer(queue), 5) == 5, "five still there");
        });
        steps.step("recovering brings what was not acknowledged again, in order", () -> {
            Session session = session(false, Session.CLIENT_ACKNOWLEDGE);
            send(session, queue, "c", 3);
            MessageConsumer consumer = session.createConsumer(queue);
            textOf(consumer);
            textOf(consumer);
            session.recover();
            Message again = consumer.receive(60_000);
            Steps.check(((TextMessage) again).getText().equals("c0") && again.getJMSRedelivered(), "c0 again");
            textOf(consumer);
            consumer.receive(60_000).acknowledge();
            Steps.check(count(consumer, 0) == 0, "nothing more");
        });
        steps.step("a transacted session commits or takes back", () -> {
            Session session = session(true, Session.SESSION_TRANSACTED);
            send(session, queue, "t", 4);
            session.rollback();
            send(session, queue, "u", 4);
            session.commit();
            MessageConsumer consumer = session.createConsumer(queue);
            Steps.check(textOf(consumer).equals("u0"), "u0");
            session.rollback();
            Steps.check(count(consumer, 4) == 4, "four");
            session.commit();
        });
        steps.step("a durable subscriber misses nothing", () -> {
            Session session = session();
            Topic topic = session.createTopic("jms/durable");
            TopicSubscriber subscriber = session.createDurableSubscriber(topic, "jms-subscriber");
            send(session, topic, "1-", 1);
            Steps.check(textOf(subscriber).equals("1-0"), "the first");
            subscriber.close();
            send(session, topic, "2-", 1);
            subscriber = session.createDurableSubscriber(topic, "jms-subscriber");
            Steps.check(textOf(subscriber).equals("2-0"), "the second");
            subscriber.close();
            session.unsubscribe("jms-subscriber");
        });
        steps.step("a topic's consumer picks by selector", () -> {
            Session session = session();
            MessageConsumer consumer = session.createConsumer(session.createTopic("jms/picked/>"), "n > 1");
            send(session, session.createTopic("jms/picked/a"), "p", 4);
            Steps.check(count(consumer, 2) == 2, "two");
        });
        steps.step("a request is answered through a temporary queue", () -> {
            Session asking = session();
            Session answering = session();
            TemporaryQueue replies = asking.createTemporaryQueue();
            MessageConsumer consumer = asking.createConsumer(replies);
            answering.createConsumer(queue).setMessageListener(message -> {
                try {
                    answering.createProducer(message.getJMSReplyTo()).send(answering.createTextMessage("pong"));
                } catch (JMSException error) {
                    throw new RuntimeException(error);
                }
            });
            TextMessage request = asking.createTextMessage("ping");
            request.setJMSReplyTo(replies);
            asking.createProducer(queue).send(request);
            Steps.check(textOf(consumer).equals("pong"), "pong");
        });
        steps.step("a temporary topic carries messages", () -> {
            Session session = session();
            TemporaryTopic topic = session.createTemporaryTopic();
            MessageConsumer consumer = session.createConsumer(topic);
            send(session, topic, "x", 1);
            Steps.check(textOf(consumer).equals("x0"), "x0");
        });
        steps.step("a message expires", () -> {
            Session session = session();
            MessageProducer producer = session.createProducer(queue);
            producer.setTimeToLive(200);
            producer.send(session.createTextMessage("dies"));
            Thread.sleep(2000);
            Steps.check(count(session.createConsumer(queue), 0) == 0, "nothing");
        });
        steps.step("a listener gets a thousand messages", () -> {
            CountDownLatch left = new CountDownLatch(1000);
            session().createConsumer(queue).setMessageListener(message -> left.countDown());
            send(session(), queue, "m", 1000);
            Steps.check(left.await(60, TimeUnit.SECONDS), "all of them");
        });
        connection.close();
        steps.end();
    }
}
