import com.solacesystems.jms.SolConnectionFactory;
import com.solacesystems.jms.SolJmsUtility;
import java.util.Collections;
import java.util.TreeMap;
import javax.jms.*;

/**
 * Reads a message from one queue and prints its properties and body, then writes three to another.
 * Arguments: address, queue to read, queue to write.
 */
public final class Exchange {
    public static void main(String[] arguments) throws Exception {
        SolConnectionFactory factory = SolJmsUtility.createConnectionFactory();
        factory.setHost(arguments[0]);
        factory.setVPN("default");
        factory.setUsername("default");
        factory.setPassword("");
        Connection connection = factory.createConnection();
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        BytesMessage read = (BytesMessage) session.createConsumer(session.createQueue(arguments[1])).receive(60_000);
        byte[] body = new byte[(int) read.getBodyLength()];
        read.readBytes(body);
        TreeMap<String, String> properties = new TreeMap<>();
        for (Object name : Collections.list(read.getPropertyNames())) {
            if (!name.toString().startsWith("JMS") && !name.toString().startsWith("Solace_")) {
                properties.put(name.toString(), read.getStringProperty(name.toString()));
            }
        }
        System.out.println(properties + " " + new String(body, "UTF-8"));
        MessageProducer producer = session.createProducer(session.createQueue(arguments[2]));
        TextMessage text = session.createTextMessage("ein Text: \u00e4\u00f6\u00fc");
        text.setStringProperty("from", "JMS");
        text.setIntProperty("number", 42);
        text.setJMSCorrelationID("c-1");
        producer.send(text);
        BytesMessage bytes = session.createBytesMessage();
        bytes.writeBytes(new byte[] {0, 1, (byte) 255});
        producer.send(bytes);
        MapMessage map = session.createMapMessage();
        map.setInt("i", 7);
        map.setString("s", "x");
        producer.send(map);
        connection.close();
        System.exit(0);
    }
}
