import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Posts a text twice to the address given, with the client that every Java since 11 brings, as it is by default. */
class Offering {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).POST(BodyPublishers.ofString(arguments[1])).build();
        for (int call = 0; call < 2; call++) {
            System.out.println(client.send(request, BodyHandlers.ofString()).body());
        }
    }
}
