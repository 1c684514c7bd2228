package org.tune4j.strategies;

import com.google.common.hash.Hashing;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What tests do with the files of a checkpoint. */
final class CheckpointFiles {
  static final List<String> PARTS = List.of("state.json", "tensors.safetensors");

  private CheckpointFiles() {}

  /** Writes the checksums of parts as they are now. */
  static void sign(Path checkpoint) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (String part : PARTS) {
      lines
          .append(Hashing.sha256().hashBytes(Files.readAllBytes(checkpoint.resolve(part))))
          .append("  ")
          .append(part)
          .append('\n');
    }
    Files.writeString(checkpoint.resolve("SHA256SUMS"), lines);
  }
}
