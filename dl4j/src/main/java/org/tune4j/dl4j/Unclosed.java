package org.tune4j.dl4j;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;

/** A stream that stays open, for ND4J's writers, which close what they are given. */
final class Unclosed extends FilterOutputStream {
  Unclosed(OutputStream out) {
    super(out);
  }

  @Override
  public void write(byte[] bytes, int at, int count) throws IOException {
    out.write(bytes, at, count);
  }

  @Override
  public void close() throws IOException {
    flush();
  }
}
