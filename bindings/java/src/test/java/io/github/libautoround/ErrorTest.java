package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ErrorTest {
  @TempDir Path folder;

  @Test void badPath() {
    AutoRoundException said = Toy.assertFails(Code.NOT_FOUND, () -> Model.open(Path.of("/no/such/model")));
    assertTrue(said.getMessage().contains("/no/such/model"), said.getMessage());
    assertTrue(said.subject().startsWith("/no/such/model"), said.subject());
    assertEquals("AUTOROUND_ERROR_NOT_FOUND", said.code().toString());
  }

  @Test void aRecipeErrorHasLineAndColumn() {
    AutoRoundException said = Toy.assertFails(Code.PARSE,
        () -> Recipe.parse("[default_stage.modifiers.AutoRoundModifier]\nscheme = \"W4A16\"\n  itres = 3\n", "toml"));
    assertEquals(List.of(3, 3), List.of(said.line(), said.column()));
    assertTrue(said.getMessage().contains("iters"), said.getMessage());
  }

  @Test void aRecipeKeyIsTheSubject() {
    try (Recipe recipe = new Recipe()) {
      assertEquals("weights.group_siez", Toy.assertFails(Code.INVALID_ARGUMENT, () -> recipe.set("weights.group_siez", 64)).subject());
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> recipe.set(null, 64));
    }
  }

  @Test void aBadGroupSizeIsSaidBeforeAWeightIsRead() {
    try (Toy toy = new Toy(folder, 0); Recipe recipe = new Recipe().set("scheme", "W4A16").set("weights.group_size", 128).append("ignore", "lm_head")) {
      AutoRoundException said = Toy.assertFails(Code.INVALID_ARGUMENT, () -> AutoRound.oneshot(toy.model, recipe, toy.data, null));
      assertTrue((said.subject() + said.getMessage()).contains("group_size"), said.getMessage());
    }
  }

  @Test void optionsAreChecked() {
    try (Toy toy = new Toy(folder, 0)) {
      Toy.assertFails(Code.UNSUPPORTED, () -> toy.options.output(toy.output, "compresed-tensors"));
      Toy.assertFails(Code.UNSUPPORTED, () -> toy.options.device("cuda:99"));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> toy.options.device("tpu"));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> toy.options.computeDtype("fp3"));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> toy.options.seed(-1));
      toy.options.memoryLimit(1000).seed(Long.MAX_VALUE).deterministic(true);
      Toy.assertFails(Code.INVALID_ARGUMENT, toy::oneshot);
    }
  }

  @Test void useAfterClose() {
    try (Toy toy = new Toy(folder, 0)) {
      toy.model.close();
      toy.model.close();
      assertTrue(Toy.assertFails(Code.INVALID_STATE, toy.model::architecture).getMessage().contains("Model is closed"));
      Toy.assertFails(Code.INVALID_STATE, toy::oneshot);
    }
  }

  @Test void closeInsideTheCallbackWaits() {
    try (Toy toy = new Toy(folder, 2)) {
      List<Session> session = new ArrayList<>();
      List<AutoRoundException> said = new ArrayList<>();
      toy.toDisk().onEvent(event -> {
        said.add(Toy.assertFails(Code.INVALID_STATE, session.get(0)::start));
        session.get(0).close();
        toy.close();
      });
      session.add(new Session(toy.model, toy.recipe, toy.data, toy.options));
      session.get(0).initialize();
      Toy.assertFails(Code.INVALID_STATE, () -> {
        session.get(0).start();
        while (session.get(0).nextBlock().isPresent()) session.get(0).sequentialEpochEnd();
      });
      assertTrue(said.size() > 0);
    }
  }

  @Test void optionsInUseAreLeftAlone() {
    try (Toy toy = new Toy(folder, 0)) {
      List<AutoRoundException> said = new ArrayList<>();
      toy.options.onEvent(event -> said.add(Toy.assertFails(Code.INVALID_STATE, () -> toy.options.seed(1))));
      toy.model.perplexity(toy.data, toy.options);
      assertTrue(said.size() > 0);
    }
  }
}
