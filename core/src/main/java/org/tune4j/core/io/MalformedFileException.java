package org.tune4j.core.io;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A file whose content is not as expected; the message names the file, the place in it, what was
 * found and what was expected.
 */
public final class MalformedFileException extends IOException {
  private static final long serialVersionUID = 1L;

  /**
   * Describes the problem.
   *
   * @param place line, field or tensor; may be empty
   */
  public MalformedFileException(Path file, String place, String found, String expected) {
    super(
        "%s%s: found %s, expected %s"
            .formatted(file, place.isEmpty() ? "" : ", " + place, found, expected));
  }

  /** Describes the problem, with the exception that revealed it. */
  public MalformedFileException(
      Path file, String place, String found, String expected, Throwable cause) {
    this(file, place, found, expected);
    initCause(cause);
  }
}
