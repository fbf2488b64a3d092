import com.solacesystems.jcsmp.*;
import java.io.ByteArrayInputStream;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VarBinaryVector;
import org.apache.arrow.vector.ipc.ArrowStreamReader;

public class ReadPacks {
    public static void main(String[] arguments) throws Exception {
        var properties = new JCSMPProperties();
        properties.setProperty(JCSMPProperties.HOST, arguments[0]);
        properties.setProperty(JCSMPProperties.VPN_NAME, "default");
        properties.setProperty(JCSMPProperties.USERNAME, "default");
        var session = JCSMPFactory.onlyInstance().createSession(properties);
        var flow = new ConsumerFlowProperties().setEndpoint(JCSMPFactory.onlyInstance().createQueue(arguments[1]));
        flow.setAckMode(JCSMPProperties.SUPPORTED_MESSAGE_ACK_CLIENT);
        var queue = session.createFlow(null, flow);
        queue.start();
        for (int left = Integer.parseInt(arguments[2]); left > 0; left--) {
            var message = (BytesMessage) queue.receive(30_000);
            try (var memory = new RootAllocator();
                    var pack = new ArrowStreamReader(new ByteArrayInputStream(message.getData()), memory)) {
                var shared = pack.getVectorSchemaRoot().getSchema().getCustomMetadata();
                while (pack.loadNextBatch()) {
                    var bodies = (VarBinaryVector) pack.getVectorSchemaRoot().getVector("body");
                    for (int i = 0; i < bodies.getValueCount(); i++) {
                        System.out.println(shared + " " + new String(bodies.get(i)));
                    }
                }
            }
            message.ackMessage();
        }
        session.closeSession();
    }
}
