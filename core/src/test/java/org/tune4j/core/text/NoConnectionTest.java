package org.tune4j.core.text;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketImpl;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Loading a tokenizer asks nobody anything: a process that records what it connects to. */
class NoConnectionTest {
  private static final String CONNECTS = "connects to ";

  @Test
  void noConnectionIsOpenedWhileATokenizerLoads() throws Exception {
    ProcessBuilder java =
        new ProcessBuilder(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Loading.class.getName()));
    java.environment().keySet().removeAll(List.of("OPT_OUT_TRACKING", "DJL_OFFLINE"));
    Process process = java.redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).as(said).isZero();
    assertThat(said).contains(CONNECTS + "a test's own server").contains("loaded 3");
    assertThat(said.lines().filter(l -> l.startsWith(CONNECTS))).as(said).hasSize(1);
  }

  /** What the process runs. */
  static final class Loading {
    private Loading() {}

    @SuppressWarnings("deprecation") // there is no other way to see all sockets of a process
    public static void main(String[] args) throws IOException {
      Socket.setSocketImplFactory(Recorder::new);
      try (Socket proof = new Socket()) {
        proof.connect(java.net.InetSocketAddress.createUnresolved("a test's own server", 80));
      } catch (IOException refused) {
        // recorded, which is all
      }
      try (Tokenizer tokenizer =
          Tokenizer.load(Path.of("src/test/resources/cases/loss-tokens/qwen2"))) {
        System.out.println("loaded " + tokenizer.encode("a b<|im_end|>").length);
      }
    }
  }

  /** Says what it is to connect to, and does not. */
  private static final class Recorder extends SocketImpl {
    private static IOException refuse(Object to) throws IOException {
      System.out.println(CONNECTS + to);
      throw new IOException("no connections here");
    }

    @Override
    protected void create(boolean stream) {}

    @Override
    protected void connect(String host, int port) throws IOException {
      throw refuse(host);
    }

    @Override
    protected void connect(InetAddress address, int port) throws IOException {
      throw refuse(address);
    }

    @Override
    protected void connect(SocketAddress address, int timeout) throws IOException {
      throw refuse(((java.net.InetSocketAddress) address).getHostString());
    }

    @Override
    protected void bind(InetAddress host, int port) {}

    @Override
    protected void listen(int backlog) {}

    @Override
    protected void accept(SocketImpl s) {}

    @Override
    protected InputStream getInputStream() {
      return InputStream.nullInputStream();
    }

    @Override
    protected OutputStream getOutputStream() {
      return OutputStream.nullOutputStream();
    }

    @Override
    protected int available() {
      return 0;
    }

    @Override
    protected void close() {}

    @Override
    protected void sendUrgentData(int data) {}

    @Override
    public void setOption(int optID, Object value) {}

    @Override
    public Object getOption(int optID) {
      return null;
    }
  }
}
